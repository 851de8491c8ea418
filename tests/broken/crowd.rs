//! Many people in rooms, and the conditions that hold for all of them once faults are over.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, interval, sleep};

use crate::person::{Notes, Person, Sent, Stay};

/// Upper bound of all waits, given the short windows and leases of the stage.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub struct Crowd {
    pub people: Vec<Arc<Person>>,
}

/// Position of everybody at a moment when all rooms were consistent: number of the session, and messages sent in it.
pub struct Mark(Vec<(usize, usize)>);

/// Conversation that continues until it is dropped.
pub struct Talk(JoinHandle<()>);

impl Drop for Talk {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Crowd {
    /// Fills `rooms` with `members` each. `doors` returns the servers for a person by its number.
    pub async fn gather(rooms: usize, members: usize, doors: impl Fn(usize) -> Vec<SocketAddr>) -> Self {
        let mut crowd = Self { people: Vec::new() };
        crowd.grow(rooms, members, doors);
        crowd.whole(None).await;
        crowd
    }

    /// Adds `members` people to each of the same rooms.
    pub fn grow(&mut self, rooms: usize, members: usize, doors: impl Fn(usize) -> Vec<SocketAddr>) {
        self.people.extend((0..rooms * members).map(|number| {
            let room = format!("room-{}", number / members);
            Arc::new(Person::enter(&room, &format!("P{number}"), doors(number)))
        }));
    }

    /// Drops everybody else from the checks.
    pub fn keep(&mut self, which: impl Fn(usize) -> bool) {
        let mut number = 0..;
        self.people.retain(|_| number.next().is_some_and(&which));
    }

    /// Waits until everybody is in, each room has one roster with exactly its members, and all messages have arrived
    /// that were sent since the mark between two people whose sessions have lasted since then.
    pub async fn whole(&self, since: Option<&Mark>) {
        let begun = Instant::now();
        while let Err(why) = self.look(since) {
            assert!(begun.elapsed() < PATIENCE, "inconsistent after {PATIENCE:?}: {why}\n{}", self.fates());
            sleep(Duration::from_millis(20)).await;
        }
        // A requested snapshot must be equal.
        self.people.iter().for_each(|person| person.ask_for_snapshot());
        let answered = |person: &Arc<Person>| {
            let notes = person.notes();
            notes.snapshot.as_ref() == Some(&notes.view)
        };
        self.wait_for("equal snapshots", || self.people.iter().all(answered)).await;
        self.faultless();
    }

    pub fn mark(&self) -> Mark {
        let at = |person: &Arc<Person>| {
            let notes = person.notes();
            let stay = notes.stays.last().expect("a joined person");
            (stay.number, stay.sent.len())
        };
        Mark(self.people.iter().map(at).collect())
    }

    /// Counts the people who have started a new session since the mark.
    pub fn new_stays(&self, mark: &Mark) -> usize {
        let stays = self.people.iter().zip(&mark.0);
        stays.filter(|(person, (stay, _))| person.notes().stays.last().is_none_or(|now| now.number != *stay)).count()
    }

    /// Lets a random person send a message at this interval, to one peer or to all.
    pub fn talk(&self, every: Duration) -> Talk {
        let people = self.people.clone();
        Talk(tokio::spawn(async move {
            let mut tick = interval(every);
            loop {
                tick.tick().await;
                let person = &people[fastrand::usize(0..people.len())];
                let to = {
                    let notes = person.notes();
                    let peers = &notes.view.peers;
                    let one = fastrand::bool() && !peers.is_empty();
                    one.then(|| peers[fastrand::usize(0..peers.len())].id.clone())
                };
                person.tell(to);
            }
        }))
    }

    /// Waits until this many more messages have been sent.
    pub async fn says(&self, more: usize) {
        let of = |person: &Arc<Person>| person.notes().stays.iter().map(|stay| stay.sent.len()).sum::<usize>();
        let said = || self.people.iter().map(of).sum::<usize>();
        let enough = said() + more;
        self.wait_for("more messages", || said() >= enough).await;
    }

    /// Makes everybody send a message to each peer and to all, and waits until all have arrived.
    pub async fn exchange(&self) {
        let mark = self.mark();
        for person in &self.people {
            let peers: Vec<String> = person.notes().view.peers.iter().map(|peer| peer.id.clone()).collect();
            for peer in peers {
                person.tell(Some(peer));
            }
            person.tell(None);
        }
        self.whole(Some(&mark)).await;
        assert_eq!(self.new_stays(&mark), 0, "new sessions without a fault\n{}", self.fates());
    }

    /// Waits until a condition holds for everybody.
    pub async fn until(&self, what: &str, holds: impl Fn(&Notes) -> bool) {
        self.until_some(what, self.people.len(), holds).await;
    }

    /// Waits until a condition holds for at least this many people.
    pub async fn until_some(&self, what: &str, least: usize, holds: impl Fn(&Notes) -> bool) {
        let number = || self.people.iter().filter(|person| holds(&person.notes())).count();
        self.wait_for(what, || number() >= least).await;
    }

    async fn wait_for(&self, what: &str, holds: impl Fn() -> bool) {
        let begun = Instant::now();
        while !holds() {
            assert!(begun.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}\n{}", self.fates());
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Returns the longest interruption of anybody, and the number of interruptions.
    pub fn gaps(&self) -> (Duration, usize) {
        let gaps: Vec<Duration> = self.people.iter().flat_map(|person| person.notes().gaps.clone()).collect();
        (gaps.iter().max().copied().unwrap_or_default(), gaps.len())
    }

    /// Asserts that nobody has ever received anything that docs/PROTOCOL.md rules out: no message twice, out of order,
    /// or meant for somebody else.
    pub fn faultless(&self) {
        for room in self.rooms().values() {
            let notes: Vec<_> = room.iter().map(|person| person.notes()).collect();
            for one in &notes {
                assert!(one.wrong.is_empty(), "{}: {:#?}", one.id, one.wrong);
            }
            let mut known = BTreeMap::new();
            for (who, notes) in notes.iter().enumerate() {
                known.extend(notes.stays.iter().enumerate().map(|(at, stay)| (stay.number, (who, at))));
            }
            for one in &notes {
                for stay in &one.stays {
                    let mut last = BTreeMap::new();
                    for (from, n) in &stay.heard {
                        let before = last.insert(from, n);
                        assert!(before < Some(n), "{} heard {n} of {from} after {before:?}", one.id);
                        // The messages of people who were dropped from the checks are unknown.
                        let Some(&(who, at)) = known.get(from) else { continue };
                        let sent = &notes[who].stays[at].sent[*n as usize];
                        let meant = notes[who].id != one.id && sent.to.as_ref().is_none_or(|to| *to == one.id);
                        assert!(meant, "{} received a message to another peer: {sent:?} of {}", one.id, notes[who].id);
                    }
                }
            }
        }
    }

    /// Describes what people experienced, grouped by equal experiences.
    pub fn fates(&self) -> String {
        let mut fates = BTreeMap::<String, usize>::new();
        for person in &self.people {
            let notes = person.notes();
            let fate = format!("in {}, degraded {}, {:?}, {:?}", notes.is_in, notes.degraded, notes.fate, notes.wrong);
            *fates.entry(fate).or_default() += 1;
        }
        fates.iter().map(|(fate, count)| format!("{count} × {fate}\n")).collect()
    }

    fn rooms(&self) -> BTreeMap<&str, Vec<&Person>> {
        let mut rooms = BTreeMap::<&str, Vec<&Person>>::new();
        for person in &self.people {
            rooms.entry(&person.room).or_default().push(person);
        }
        rooms
    }

    fn look(&self, since: Option<&Mark>) -> Result<(), String> {
        let marks: BTreeMap<usize, usize> = since.map(|mark| mark.0.iter().copied().collect()).unwrap_or_default();
        for (room, people) in self.rooms() {
            let notes: Vec<_> = people.iter().map(|person| person.notes()).collect();
            for one in &notes {
                one_roster(one, &notes).map_err(|why| format!("{room}, {}: {why}", one.id))?;
            }
            for receiver in &notes {
                for sender in notes.iter().filter(|sender| sender.id != receiver.id) {
                    let lasted = |notes: &Notes| {
                        let stay = notes.stays.last().expect("a joined person");
                        marks.contains_key(&stay.number)
                    };
                    if lasted(receiver) && lasted(sender) {
                        let said = sender.stays.last().expect("a joined person");
                        heard(receiver, said, marks[&said.number])
                            .map_err(|why| format!("{room}, {} of {}: {why}", receiver.id, sender.id))?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// Checks that a person knows exactly the others, in the same order as they know each other.
fn one_roster(one: &Notes, all: &[MutexGuard<'_, Notes>]) -> Result<(), String> {
    if !one.is_in {
        return Err("is not in".into());
    }
    if !one.unacknowledged.is_empty() {
        return Err(format!("{} messages have not arrived", one.unacknowledged.len()));
    }
    if let Some(lost) = one.view.peers.iter().find(|peer| peer.lost) {
        return Err(format!("{} is lost", lost.id));
    }
    if let Some(ghost) = one.view.peers.iter().find(|peer| all.iter().all(|other| other.id != peer.id)) {
        return Err(format!("{} is a ghost", ghost.id));
    }
    if one.view.peers.len() + 1 != all.len() {
        return Err(format!("knows {} of {} others", one.view.peers.len(), all.len() - 1));
    }
    let without = |notes: &Notes, id: &str| -> Vec<String> {
        notes.view.peers.iter().map(|peer| peer.id.clone()).filter(|known| known != id).collect()
    };
    for other in all.iter().filter(|other| other.id != one.id) {
        if other.view.version != one.view.version {
            return Err(format!("version {} is not {} of {}", one.view.version, other.view.version, other.id));
        }
        if without(one, &other.id) != without(other, &one.id) {
            return Err(format!("knows them in another order than {}", other.id));
        }
    }
    Ok(())
}

/// Checks that all messages to a person since then, except rejected ones, have arrived once and in order.
fn heard(receiver: &Notes, said: &Stay, since: usize) -> Result<(), String> {
    let meant = |sent: &Sent| !sent.refused && sent.to.as_ref().is_none_or(|to| *to == receiver.id);
    let sent = said.sent.iter().enumerate().skip(since);
    let due: Vec<u64> = sent.filter(|(_, sent)| meant(sent)).map(|(n, _)| n as u64).collect();
    let stay = receiver.stays.last().expect("a joined person");
    let heard = stay.heard.iter().filter(|(number, n)| *number == said.number && *n >= since as u64);
    let heard: Vec<u64> = heard.map(|(_, n)| *n).collect();
    if heard == due {
        return Ok(());
    }
    let missing: Vec<_> = due.iter().filter(|n| !heard.contains(n)).collect();
    Err(format!("lacks {missing:?} of {} messages, heard {} of them", due.len(), heard.len()))
}
