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

#[tokio::test(flavor = "multi_thread")]
async fn messages_in_rooms_that_are_alone_do_not_concern_the_engine() {
    let stage = Stage::set(3, &[]).await;
    let front = stage.front.address;
    let crowd = Crowd::gather(6, 2, |_| vec![front]).await;
    let before = stage.engine.all_calls().await;
    say_much(&crowd).await;
    let more = stage.engine.all_calls().await - before;
    println!("alone: {more} commands during {} messages", crowd.people.len() * MESSAGES);
    assert!(more < MESSAGES as u64 / 2, "{more} commands: leases are renewed, and nothing else is to be done");
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
