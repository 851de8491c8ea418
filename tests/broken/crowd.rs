//! Many people in rooms, and what must be true of all of them once it is quiet.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, interval, sleep};

use crate::person::{Notes, Person, Sent, Stay};

/// Nothing takes this long, with windows and leases as short as the stage sets them.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub struct Crowd {
    pub people: Vec<Arc<Person>>,
}

/// Where everybody's stay was at a moment when all rooms were whole: its number, and what it had sent.
pub struct Mark(Vec<(usize, usize)>);

/// People who talk until it is dropped.
pub struct Talk(JoinHandle<()>);

impl Drop for Talk {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Crowd {
    /// So many rooms with so many in each. `doors` are where the how manyth of all goes in.
    pub async fn gather(rooms: usize, members: usize, doors: impl Fn(usize) -> Vec<SocketAddr>) -> Self {
        let mut crowd = Self { people: Vec::new() };
        crowd.grow(rooms, members, doors);
        crowd.whole(None).await;
        crowd
    }

    /// So many more in each of the same rooms.
    pub fn grow(&mut self, rooms: usize, members: usize, doors: impl Fn(usize) -> Vec<SocketAddr>) {
        self.people.extend((0..rooms * members).map(|number| {
            let room = format!("room-{}", number / members);
            Arc::new(Person::enter(&room, &format!("P{number}"), doors(number)))
        }));
    }

    /// Nothing more is asked of the others.
    pub fn keep(&mut self, which: impl Fn(usize) -> bool) {
        let mut number = 0..;
        self.people.retain(|_| number.next().is_some_and(&which));
    }

    /// Everybody is in, each room has one roster with nobody else in it, and what was said has been heard: all that
    /// was sent since the mark between two whose stays have lasted since.
    pub async fn whole(&self, since: Option<&Mark>) {
        let begun = Instant::now();
        while let Err(why) = self.look(since) {
            assert!(begun.elapsed() < PATIENCE, "not whole after {PATIENCE:?}: {why}\n{}", self.fates());
            sleep(Duration::from_millis(20)).await;
        }
        // Whoever asks gets the same.
        self.people.iter().for_each(|person| person.ask_for_snapshot());
        let answered = |person: &Arc<Person>| {
            let notes = person.notes();
            notes.snapshot.as_ref() == Some(&notes.view)
        };
        self.wait_for("a snapshot is the same", || self.people.iter().all(answered)).await;
        self.faultless();
    }

    pub fn mark(&self) -> Mark {
        let at = |person: &Arc<Person>| {
            let notes = person.notes();
            let stay = notes.stays.last().expect("somebody who is in");
            (stay.number, stay.sent.len())
        };
        Mark(self.people.iter().map(at).collect())
    }

    /// How many have begun afresh since.
    pub fn new_stays(&self, mark: &Mark) -> usize {
        let stays = self.people.iter().zip(&mark.0);
        stays.filter(|(person, (stay, _))| person.notes().stays.last().is_none_or(|now| now.number != *stay)).count()
    }

    /// Every so often one of them says something, to one other or to all.
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

    /// Until they have said so many more.
    pub async fn says(&self, more: usize) {
        let of = |person: &Arc<Person>| person.notes().stays.iter().map(|stay| stay.sent.len()).sum::<usize>();
        let said = || self.people.iter().map(of).sum::<usize>();
        let enough = said() + more;
        self.wait_for("more is said", || said() >= enough).await;
    }

    /// Everybody says something to each other and to all, and all of it is heard.
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
        assert_eq!(self.new_stays(&mark), 0, "while all was well somebody began afresh\n{}", self.fates());
    }

    /// Until this is true of everybody.
    pub async fn until(&self, what: &str, holds: impl Fn(&Notes) -> bool) {
        self.until_some(what, self.people.len(), holds).await;
    }

    /// Until this is true of so many.
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

    /// The longest that anybody was not in, and how often anybody was not.
    pub fn gaps(&self) -> (Duration, usize) {
        let gaps: Vec<Duration> = self.people.iter().flat_map(|person| person.notes().gaps.clone()).collect();
        (gaps.iter().max().copied().unwrap_or_default(), gaps.len())
    }

    /// Nobody has seen what docs/PROTOCOL.md rules out, and nothing was heard twice, out of its order, or by whom it was
    /// not said to: at any moment.
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
                        // Of those who are not asked any more nobody knows what they said.
                        let Some(&(who, at)) = known.get(from) else { continue };
                        let sent = &notes[who].stays[at].sent[*n as usize];
                        let meant = notes[who].id != one.id && sent.to.as_ref().is_none_or(|to| *to == one.id);
                        assert!(meant, "{} heard what was not for it: {sent:?} of {}", one.id, notes[who].id);
                    }
                }
            }
        }
    }

    /// What everybody has met with, where it is not the same for all.
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
                        let stay = notes.stays.last().expect("somebody who is in");
                        marks.contains_key(&stay.number)
                    };
                    if lasted(receiver) && lasted(sender) {
                        let said = sender.stays.last().expect("somebody who is in");
                        heard(receiver, said, marks[&said.number])
                            .map_err(|why| format!("{room}, {} of {}: {why}", receiver.id, sender.id))?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// Somebody knows exactly the others, in the order in which those know each other.
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

/// All that was said to somebody since then and not refused has been heard, once and in order.
fn heard(receiver: &Notes, said: &Stay, since: usize) -> Result<(), String> {
    let meant = |sent: &Sent| !sent.refused && sent.to.as_ref().is_none_or(|to| *to == receiver.id);
    let sent = said.sent.iter().enumerate().skip(since);
    let due: Vec<u64> = sent.filter(|(_, sent)| meant(sent)).map(|(n, _)| n as u64).collect();
    let stay = receiver.stays.last().expect("somebody who is in");
    let heard = stay.heard.iter().filter(|(number, n)| *number == said.number && *n >= since as u64);
    let heard: Vec<u64> = heard.map(|(_, n)| *n).collect();
    if heard == due {
        return Ok(());
    }
    let missing: Vec<_> = due.iter().filter(|n| !heard.contains(n)).collect();
    Err(format!("lacks {missing:?} of {} messages, heard {} of them", due.len(), heard.len()))
}
