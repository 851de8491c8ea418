//! What the engine has to do: docs/SCALING.md has the figures, and here is what keeps them true.

use crate::crowd::Crowd;
use crate::stage::Stage;

/// Messages of one person in a row.
const MESSAGES: usize = 400;

/// Everybody says so much to whoever comes first in the roster, and all of it is heard.
async fn say_much(crowd: &Crowd) {
    let mark = crowd.mark();
    for person in &crowd.people {
        let to = person.notes().view.peers[0].id.clone();
        (0..MESSAGES).for_each(|_| person.tell(Some(to.clone())));
    }
    crowd.whole(Some(&mark)).await;
}

/// How many commands the engine has had, and how many of them told servers something.
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
    // Leases are renewed, for as long as it takes, and nothing else is done.
    assert_eq!(after[1..], [published, entries], "published, and appended to a log");
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
    // One for each, and now and then one that says that they have come.
    assert!(publishes >= messages && publishes < messages + messages / 8, "{publishes} for {messages} messages");
}
