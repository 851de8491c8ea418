//! Tokens of the participants, if each token is for one person (R100).

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::effect::Refusal;
use super::input::{Seat, TokenId};
use super::room::Room;
use crate::protocol::{CloseCode, PeerId};

/// Tokens that a room remembers: more than there can be participants in the room and its lobby.
pub const TOKENS: usize = 512;

/// Words of 64 bits in the filter of removed tokens: 4 KiB.
const WORDS: usize = 512;
/// Bits that a removed token sets in the filter.
const BITS: u64 = 8;

/// Tokens of a room.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(super) struct Tokens {
    /// Holder of each token, the latest last.
    holders: VecDeque<(TokenId, PeerId)>,
    removed: RemovedTokens,
}

impl Tokens {
    fn holder(&self, token: TokenId) -> Option<PeerId> {
        self.holders.iter().find(|(known, _)| *known == token).map(|(_, holder)| *holder)
    }

    /// Invalidates the tokens of a removed participant, whose last one was `latest`.
    pub(super) fn remove(&mut self, id: PeerId, latest: Option<TokenId>) {
        let Self { holders, removed } = self;
        latest.into_iter().for_each(|token| removed.add(token));
        holders.retain(|(token, holder)| {
            if *holder == id {
                removed.add(*token);
            }
            *holder != id
        });
    }
}

/// Bloom filter of the tokens of removed participants. It has a fixed size and forgets no token, so that a removal
/// holds for the room's life, however many follow (R45). The false positive rate is 1 in 1,000 after 2,000 removals.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(transparent)]
struct RemovedTokens(Vec<u64>);

impl RemovedTokens {
    fn add(&mut self, token: TokenId) {
        self.0.resize(WORDS, 0);
        for (word, bit) in places(token) {
            self.0[word] |= bit;
        }
    }

    fn has(&self, token: TokenId) -> bool {
        places(token).all(|(word, bit)| self.0.get(word).is_some_and(|bits| bits & bit != 0))
    }
}

/// Returns the filter bits of a token. The halves of its ID are parts of a digest, and serve as two independent hashes.
fn places(TokenId(first, second): TokenId) -> impl Iterator<Item = (usize, u64)> {
    (0..BITS).map(move |number| {
        let place = first.wrapping_add(number.wrapping_mul(second | 1)) % (WORDS as u64 * 64);
        (place as usize / 64, 1 << (place % 64))
    })
}

impl<H> Room<H> {
    /// Rejects a token of another participant, who was removed or is in the room or its lobby.
    pub(super) fn check_token(&self, id: PeerId, token: Option<TokenId>) -> Result<(), Refusal> {
        let Some(token) = token else { return Ok(()) };
        match self.house.tokens.holder(token) {
            Some(holder) if holder != id && self.is_here(holder) => Err(Refusal::TokenInUse),
            // The token is valid even if it matches the filter: a removal would have deleted this entry, so the match
            // is a false positive.
            Some(_) => Ok(()),
            None if self.house.tokens.removed.has(token) => Err(Refusal::Dismissed(CloseCode::Removed)),
            None => Ok(()),
        }
    }

    /// Assigns a token that [`Room::check_token`] has accepted to a participant.
    pub(super) fn assign_token(&mut self, id: PeerId, token: Option<TokenId>) {
        let Some(token) = token else { return };
        let mut holders = std::mem::take(&mut self.house.tokens.holders);
        holders.retain(|(known, _)| *known != token);
        if holders.len() == TOKENS {
            holders.remove(self.least_needed(&holders));
        }
        holders.push_back((token, id));
        self.house.tokens.holders = holders;
    }

    /// Returns the place of the token to forget: the oldest of somebody who has left, else of whoever has the most, so
    /// that no participant makes the room forget the tokens of others.
    fn least_needed(&self, holders: &VecDeque<(TokenId, PeerId)>) -> usize {
        if let Some(place) = holders.iter().position(|(_, holder)| !self.is_here(*holder)) {
            return place;
        }
        let mut counts = BTreeMap::<PeerId, usize>::new();
        for (_, holder) in holders {
            *counts.entry(*holder).or_default() += 1;
        }
        // Of equals the last one counts.
        (0..holders.len()).rev().max_by_key(|place| counts[&holders[*place].1]).unwrap_or_default()
    }

    /// Replaces the token of a member that has renewed its lease (R61).
    pub(super) fn renew_token(&mut self, seat: Seat, token: TokenId) -> Result<(), Refusal> {
        self.check(seat)?;
        self.check_token(seat.id, Some(token))?;
        self.assign_token(seat.id, Some(token));
        if let Some(member) = self.members.get_mut(&seat.id) {
            member.grant.token = Some(token);
        }
        Ok(())
    }

    fn is_here(&self, id: PeerId) -> bool {
        self.members.contains_key(&id) || self.waiting().any(|guest| guest.id == id)
    }
}
