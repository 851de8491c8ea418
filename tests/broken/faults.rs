//! Single faults during conversations.

use std::time::Duration;

use tokio::time::Instant;

use crate::common::eventually;
use crate::crowd::Crowd;
use crate::engine::Engine;
use crate::person::Notes;
use crate::stage::Stage;

/// Interval between messages of a crowd.
const EVERY: Duration = Duration::from_millis(5);
/// Messages before a fault, and again during it or after its end.
const TALK: usize = 100;

/// Longer than the three seconds within which servers find a store that is back.
const PATIENT: (&str, &str) = ("ROUNDTABLE_LEASE", "6s");

/// Creates six rooms of six, two on each server, in which everybody has exchanged messages with everybody.
async fn spread(stage: &Stage) -> Crowd {
    let crowd = Crowd::gather(6, 6, |number| stage.doors(number)).await;
    crowd.exchange().await;
    crowd
}

/// Causes a fault during a conversation, and checks consistency afterwards. Returns the number of new sessions.
async fn through(crowd: &Crowd, fault: impl AsyncFnOnce()) -> usize {
    let mark = crowd.mark();
    let talk = crowd.talk(EVERY);
    crowd.says(TALK).await;
    fault().await;
    crowd.says(TALK).await;
    drop(talk);
    crowd.whole(Some(&mark)).await;
    crowd.new_stays(&mark)
}

/// Takes the store away and brings it back. All clients are notified of both.
async fn without_engine(stage: &mut Stage, goes: impl FnOnce(&mut Engine), comes: impl AsyncFnOnce(&mut Engine)) {
    let crowd = spread(stage).await;
    let begun_afresh = through(&crowd, async || {
        goes(&mut stage.engine);
        crowd.until("the outage at all clients", |notes| notes.degraded).await;
        crowd.says(TALK).await;
        comes(&mut stage.engine).await;
        crowd.until("the end of the outage at all clients", |notes| !notes.degraded).await;
    });
    assert_eq!(begun_afresh.await, 0, "new sessions although all servers were running\n{}", crowd.fates());
    well(stage, &crowd).await;
}

/// Checks that everybody reaches everybody, and that no other members or connections are counted.
async fn well(stage: &Stage, crowd: &Crowd) {
    crowd.exchange().await;
    stage.counts(crowd.people.len()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_server_is_killed_in_turn() {
    let mut stage = Stage::set(3, &[]).await;
    let crowd = spread(&stage).await;
    for at in 0..3 {
        let on_it = stage.servers[at].members().await;
        let mut killed = Instant::now();
        let begun_afresh = through(&crowd, async || {
            killed = Instant::now();
            stage.servers[at].kill();
        });
        let begun_afresh = begun_afresh.await as u64;
        println!("killed: all are whole again after {:?}, the longest gap was {:?}", killed.elapsed(), crowd.gaps().0);
        assert!(
            begun_afresh <= on_it,
            "{begun_afresh} new sessions for {on_it} members of the server\n{}",
            crowd.fates()
        );
        stage.servers[at].begin().await;
    }
    well(&stage, &crowd).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_dies_with_its_server_is_gone_after_the_window() {
    let mut stage = Stage::set(3, &[]).await;
    let mut crowd = spread(&stage).await;
    // The first person of each room, who is on the same server as the fourth.
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
    let mut stage = Stage::set(3, &[]).await;
    let crowd = spread(&stage).await;
    let on_it = stage.servers[1].members().await as usize;
    let begun_afresh = through(&crowd, async || {
        stage.servers[1].pause();
        crowd.until_some("its members to reconnect elsewhere", on_it, |notes| !notes.gaps.is_empty()).await;
        // The first server that notices evicts it, and the other is notified.
        let given_up = async || stage.servers.iter_mut().any(|server| server.has_said("with this one are gone"));
        eventually("the server to be evicted", given_up).await;
        stage.servers[1].wake();
    });
    assert!(begun_afresh.await <= on_it, "new sessions of members on other servers\n{}", crowd.fates());
    well(&stage, &crowd).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_engine_is_killed_and_comes_back_with_nothing() {
    let mut stage = Stage::set(3, &[PATIENT]).await;
    without_engine(&mut stage, Engine::kill, Engine::restart).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_engine_stands_still() {
    let mut stage = Stage::set(3, &[PATIENT]).await;
    without_engine(&mut stage, |engine| engine.pause(), async |engine| engine.wake()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_server_is_cut_off_from_the_engine() {
    let stage = Stage::set(3, &[]).await;
    let crowd = spread(&stage).await;
    let on_it = stage.servers[2].members().await as usize;
    // The other servers have evicted it and show its members as disconnected.
    let misses = |notes: &Notes| notes.view.peers.iter().filter(|peer| peer.lost).count() >= 2;
    let begun_afresh = through(&crowd, async || {
        stage.servers[2].cut_off();
        crowd.until_some("its members to be disconnected", on_it, misses).await;
        stage.servers[2].mend();
    });
    assert!(begun_afresh.await <= on_it, "new sessions of members on other servers\n{}", crowd.fates());
    well(&stage, &crowd).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rooms_alone_on_their_servers_notice_nothing_of_an_engine_that_is_gone() {
    let mut stage = Stage::set(3, &[]).await;
    let front = stage.front.address;
    let crowd = Crowd::gather(12, 3, |_| vec![front]).await;
    let begun_afresh = through(&crowd, async || stage.engine.kill()).await;
    // Long enough for each server to notice.
    for server in &stage.servers {
        eventually("the server to lose the store", async || server.metric("roundtable_engine_connected").await == 0)
            .await;
    }
    crowd.exchange().await;
    assert_eq!((begun_afresh, crowd.gaps().1), (0, 0), "{}", crowd.fates());
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
        crowd.says(TALK).await;
        stage.front.restart().await;
        crowd.until("all people to be in a room", |notes| notes.is_in).await;
    }
    drop(talk);
    crowd.whole(Some(&mark)).await;
    assert!(crowd.gaps().1 >= crowd.people.len(), "not everybody was disconnected: {:?}", crowd.gaps());
    assert_eq!(crowd.new_stays(&mark), 0, "new sessions although all servers were running\n{}", crowd.fates());
    well(&stage, &crowd).await;
}
