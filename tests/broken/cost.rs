//! Load on the store. docs/SCALING.md has the figures; these tests keep them true.

use crate::crowd::Crowd;
use crate::stage::Stage;

/// Messages that each person sends.
const MESSAGES: usize = 400;

/// Makes everybody send [`MESSAGES`] messages to the first peer of the roster, and waits until all have arrived.
async fn say_much(crowd: &Crowd) {
    let mark = crowd.mark();
    for person in &crowd.people {
        let to = person.notes().view.peers[0].id.clone();
        (0..MESSAGES).for_each(|_| person.tell(Some(to.clone())));
    }
    crowd.whole(Some(&mark)).await;
}

/// Returns the numbers of all commands, of publications, and of appended log entries.
async fn told(stage: &Stage) -> [u64; 3] {
    [stage.engine.all_calls().await, stage.engine.calls("publish").await, stage.engine.calls("rpush").await]
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_in_rooms_that_are_alone_do_not_concern_the_engine() {
    let stage = Stage::set(3, &[]).await;
    let front = stage.front.address;
    let crowd = Crowd::gather(6, 2, |_| vec![front]).await;
    let [all, published, entries] = told(&stage).await;
    say_much(&crowd).await;
    let after = told(&stage).await;
    println!("alone: {} commands during {} messages", after[0] - all, crowd.people.len() * MESSAGES);
    // Only leases are renewed meanwhile.
    assert_eq!(after[1..], [published, entries], "something was published or appended to a log");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_between_two_servers_is_one_publish() {
    let stage = Stage::set(2, &[]).await;
    let joins = stage.engine.all_calls().await;
    let crowd = Crowd::gather(6, 2, |number| stage.doors(number)).await;
    let before = [stage.engine.all_calls().await, stage.engine.calls("publish").await];
    say_much(&crowd).await;
    let after = [stage.engine.all_calls().await, stage.engine.calls("publish").await];
    let messages = (crowd.people.len() * MESSAGES) as u64;
    let publishes = after[1] - before[1];
    println!(
        "apart: {} commands for {} joins, {} commands and {publishes} publishes for {messages} messages",
        before[0] - joins,
        crowd.people.len(),
        after[0] - before[0],
    );
    // One for each message, and a few acknowledgements.
    assert!(publishes >= messages && publishes < messages + messages / 8, "{publishes} for {messages} messages");
}
