//! Servers start and stop under load. No message is lost, and every session is resumed.

use std::time::Duration;

use crate::crowd::Crowd;
use crate::stage::Stage;

const SETTINGS: [(&str, &str); 3] = [
    // Clients reconnect within five seconds of a shutdown (R32), and must find their sessions.
    ("ROUNDTABLE_RESUME_WINDOW", "15s"),
    // A thousand reconnects keep a small machine busy, for which no server may be evicted.
    ("ROUNDTABLE_LEASE", "2s"),
    ("ROUNDTABLE_DRAIN_TIMEOUT", "30s"),
];

/// Rooms of four: 1,000 members.
const ROOMS: usize = 250;

#[tokio::test(flavor = "multi_thread")]
async fn all_servers_are_restarted_one_after_the_other() {
    let mut stage = Stage::set(3, &SETTINGS).await;
    let front = stage.front.address;
    let crowd = Crowd::gather(ROOMS, 4, |_| vec![front]).await;
    let mark = crowd.mark();
    let talk = crowd.talk(Duration::from_millis(2));
    for at in 0..3 {
        stage.servers[at].stop().await;
        stage.servers[at].begin().await;
        crowd.until("all people to be in a room", |notes| notes.is_in).await;
    }
    drop(talk);
    crowd.whole(Some(&mark)).await;
    println!("restarted: {} people, longest gap and gaps {:?}", crowd.people.len(), crowd.gaps());
    assert!(crowd.gaps().1 >= crowd.people.len(), "not everybody was disconnected: {:?}", crowd.gaps());
    assert_eq!(crowd.new_stays(&mark), 0, "new sessions\n{}", crowd.fates());
    crowd.exchange().await;
    stage.counts(crowd.people.len()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn from_one_server_to_three_and_back() {
    let mut stage = Stage::set(3, &SETTINGS).await;
    stage.servers[1].stop().await;
    stage.servers[2].stop().await;
    let mut crowd = Crowd::gather(6, 4, |number| stage.doors(number)).await;
    let mark = crowd.mark();
    let talk = crowd.talk(Duration::from_millis(5));
    stage.servers[1].begin().await;
    stage.servers[2].begin().await;
    // More people join the same rooms through the new servers.
    crowd.grow(6, 4, |number| stage.doors(number % 2 + 1));
    crowd.until("full rosters", |notes| notes.is_in && notes.view.peers.len() == 7).await;
    for at in [0, 1] {
        stage.servers[at].stop().await;
        crowd.until("all people to be in a room", |notes| notes.is_in).await;
    }
    drop(talk);
    crowd.whole(Some(&mark)).await;
    assert_eq!(crowd.new_stays(&mark), 0, "new sessions\n{}", crowd.fates());
    crowd.exchange().await;
    stage.counts(crowd.people.len()).await;
}
