//! Scripts in which members join, leave, disconnect and reconnect, generated randomly or from fuzzing bytes.

use arbitrary::{Arbitrary, Unstructured};
use proptest::prelude::{Just, Strategy, any, prop, prop_oneof};

/// More IDs than places, so that rooms are full at times.
pub const IDS: u8 = 5;

/// One step of a script. A `stale` step acts for the member's previous session.
#[derive(Arbitrary, Clone, Debug)]
pub enum Step {
    Join {
        #[arbitrary(with = some_id)]
        id: u8,
        mic: bool,
    },
    Leave {
        #[arbitrary(with = some_id)]
        id: u8,
        stale: bool,
    },
    /// The socket closes without `leave`.
    Lose {
        #[arbitrary(with = some_id)]
        id: u8,
        stale: bool,
    },
    /// Another socket resumes the session.
    Return {
        #[arbitrary(with = some_id)]
        id: u8,
    },
    Signal {
        #[arbitrary(with = some_id)]
        from: u8,
        #[arbitrary(with = some_id)]
        to: u8,
        stale: bool,
    },
    Broadcast {
        #[arbitrary(with = some_id)]
        from: u8,
        stale: bool,
    },
    State {
        #[arbitrary(with = some_id)]
        id: u8,
        stale: bool,
        #[arbitrary(with = |random: &mut Unstructured<'_>| random.int_in_range(0..=2))]
        key: u8,
        value: Option<bool>,
    },
    /// A state with seventeen keys.
    BadState {
        #[arbitrary(with = some_id)]
        id: u8,
    },
    Sync {
        #[arbitrary(with = some_id)]
        id: u8,
        stale: bool,
    },
    /// An unrequested tick, requested by an earlier room of this name.
    StrayTick,
    Wait {
        #[arbitrary(with = |random: &mut Unstructured<'_>| random.int_in_range(0..=149))]
        millis: u64,
    },
}

fn some_id(random: &mut Unstructured<'_>) -> arbitrary::Result<u8> {
    random.int_in_range(0..=IDS - 1)
}

pub fn step() -> impl Strategy<Value = Step> {
    let id = || 0..IDS;
    // Mostly the current session.
    let stale = || prop::bool::weighted(0.2);
    prop_oneof![
        4 => (id(), any::<bool>()).prop_map(|(id, mic)| Step::Join { id, mic }),
        2 => (id(), stale()).prop_map(|(id, stale)| Step::Leave { id, stale }),
        2 => (id(), stale()).prop_map(|(id, stale)| Step::Lose { id, stale }),
        2 => id().prop_map(|id| Step::Return { id }),
        2 => (id(), id(), stale()).prop_map(|(from, to, stale)| Step::Signal { from, to, stale }),
        2 => (id(), stale()).prop_map(|(from, stale)| Step::Broadcast { from, stale }),
        6 => (id(), stale(), 0..3_u8, any::<Option<bool>>())
            .prop_map(|(id, stale, key, value)| Step::State { id, stale, key, value }),
        1 => id().prop_map(|id| Step::BadState { id }),
        2 => (id(), stale()).prop_map(|(id, stale)| Step::Sync { id, stale }),
        1 => Just(Step::StrayTick),
        4 => (0..150_u64).prop_map(|millis| Step::Wait { millis }),
    ]
}
