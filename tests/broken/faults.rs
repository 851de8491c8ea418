//! One thing breaks at a time, while people talk.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::crowd::Crowd;
use crate::person::Notes;
use crate::stage::Stage;

/// Between two messages of a crowd.
const EVERY: Duration = Duration::from_millis(5);
/// So long people talk before something breaks, and while it is broken.
const WHILE: Duration = Duration::from_millis(500);

/// Servers find an engine that is back within three seconds, and a lease is to be longer.
const PATIENT: (&str, &str) = ("ROUNDTABLE_LEASE", "6s");

/// Six rooms of six, two of each on each server, where all of them know of each other and are heard.
async fn spread(stage: &Stage) -> Crowd {
    let crowd = Crowd::gather(6, 6, |number| stage.doors(number)).await;
    crowd.exchange().await;
    crowd
}

/// What is left when all is over: everybody is heard by everybody, and nobody else is counted anywhere.
async fn well(stage: &Stage, crowd: &Crowd) {
    crowd.exchange().await;
    stage.counts(crowd.people.len()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_server_is_killed_in_turn() {
    let mut stage = Stage::set(3, &[]).await;
    let crowd = spread(&stage).await;
    for at in 0..3 {
        let mark = crowd.mark();
        let on_it = stage.servers[at].members().await;
        let talk = crowd.talk(EVERY);
        sleep(WHILE).await;
        stage.servers[at].kill();
        let killed = Instant::now();
        sleep(WHILE).await;
        drop(talk);
        crowd.whole(Some(&mark)).await;
        println!("killed: all are whole again after {:?}, the longest gap was {:?}", killed.elapsed(), crowd.gaps().0);
        let begun_afresh = crowd.new_stays(&mark) as u64;
        assert!(begun_afresh <= on_it, "{begun_afresh} of {on_it} who were on it\n{}", crowd.fates());
        stage.servers[at].begin().await;
    }
    well(&stage, &crowd).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_dies_with_its_server_is_gone_after_the_window() {
    let mut stage = Stage::set(3, &[]).await;
    let mut crowd = spread(&stage).await;
    // The first of each room, who is on the same server as the fourth.
    let dies = |number: usize| number.is_multiple_of(6);
    for (_, person) in crowd.people.iter().enumerate().filter(|(number, _)| dies(*number)) {
        person.vanish();
    }
    stage.servers[0].kill();
    crowd.keep(|number| !dies(number));
    crowd.whole(None).await;
    stage.servers[0].begin().await;
    well(&stage, &crowd).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_stands_still_for_longer_than_its_lease() {
    let stage = Stage::set(3, &[]).await;
    let crowd = spread(&stage).await;
    let mark = crowd.mark();
    let on_it = stage.servers[1].members().await;
    let talk = crowd.talk(EVERY);
    sleep(WHILE).await;
    stage.servers[1].pause();
    crowd.until_some("those who were on it are elsewhere", on_it as usize, |notes| !notes.gaps.is_empty()).await;
    stage.servers[1].wake();
    sleep(WHILE).await;
    drop(talk);
    crowd.whole(Some(&mark)).await;
    assert!(crowd.new_stays(&mark) as u64 <= on_it, "others than its own began afresh\n{}", crowd.fates());
    well(&stage, &crowd).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_engine_is_killed_and_comes_back_with_nothing() {
    let mut stage = Stage::set(3, &[PATIENT]).await;
    let crowd = spread(&stage).await;
    let mark = crowd.mark();
    let talk = crowd.talk(EVERY);
    sleep(WHILE).await;
    stage.engine.kill();
    crowd.until("everybody is told", |notes| notes.degraded).await;
    stage.engine.restart().await;
    crowd.until("everybody is told that it is over", |notes| !notes.degraded).await;
    sleep(WHILE).await;
    drop(talk);
    crowd.whole(Some(&mark)).await;
    assert_eq!(crowd.new_stays(&mark), 0, "nobody's server was gone\n{}", crowd.fates());
    well(&stage, &crowd).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_engine_stands_still() {
    let stage = Stage::set(3, &[PATIENT]).await;
    let crowd = spread(&stage).await;
    let mark = crowd.mark();
    let talk = crowd.talk(EVERY);
    sleep(WHILE).await;
    stage.engine.pause();
    crowd.until("everybody is told", |notes| notes.degraded).await;
    stage.engine.wake();
    crowd.until("everybody is told that it is over", |notes| !notes.degraded).await;
    sleep(WHILE).await;
    drop(talk);
    crowd.whole(Some(&mark)).await;
    assert_eq!(crowd.new_stays(&mark), 0, "nobody's server was gone\n{}", crowd.fates());
    well(&stage, &crowd).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_server_is_cut_off_from_the_engine() {
    let stage = Stage::set(3, &[]).await;
    let crowd = spread(&stage).await;
    let mark = crowd.mark();
    let on_it = stage.servers[2].members().await;
    let talk = crowd.talk(EVERY);
    sleep(WHILE).await;
    stage.servers[2].cut_off();
    // The others have put it out: its members have lost their link for them.
    let misses = |notes: &Notes| notes.view.peers.iter().filter(|peer| peer.lost).count() >= 2;
    crowd.until_some("its members are lost", on_it as usize, misses).await;
    stage.servers[2].mend();
    sleep(WHILE).await;
    drop(talk);
    crowd.whole(Some(&mark)).await;
    assert!(crowd.new_stays(&mark) as u64 <= on_it, "others than its own began afresh\n{}", crowd.fates());
    well(&stage, &crowd).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rooms_alone_on_their_servers_notice_nothing_of_an_engine_that_is_gone() {
    let mut stage = Stage::set(3, &[]).await;
    let front = stage.front.address;
    let crowd = Crowd::gather(12, 3, |_| vec![front]).await;
    let mark = crowd.mark();
    let talk = crowd.talk(EVERY);
    stage.engine.kill();
    sleep(3 * WHILE).await;
    drop(talk);
    crowd.exchange().await;
    crowd.whole(Some(&mark)).await;
    assert_eq!((crowd.new_stays(&mark), crowd.gaps().1), (0, 0), "{}", crowd.fates());
    assert!(crowd.people.iter().all(|person| !person.notes().was_degraded), "{}", crowd.fates());
    stage.engine.restart().await;
    well(&stage, &crowd).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_is_restarted() {
    let mut stage = Stage::set(3, &[]).await;
    let front = stage.front.address;
    let crowd = Crowd::gather(12, 3, |_| vec![front]).await;
    let mark = crowd.mark();
    let talk = crowd.talk(EVERY);
    for _ in 0..3 {
        sleep(WHILE).await;
        stage.front.restart().await;
        crowd.until("everybody is back", |notes| notes.is_in).await;
    }
    drop(talk);
    crowd.whole(Some(&mark)).await;
    assert!(crowd.gaps().1 >= crowd.people.len(), "nobody noticed: {:?}", crowd.gaps());
    assert_eq!(crowd.new_stays(&mark), 0, "their servers were there all the time\n{}", crowd.fates());
    well(&stage, &crowd).await;
}
