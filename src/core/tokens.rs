//! Participants by the token that they joined with, where a token is for one person (R100).

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::effect::Refusal;
use super::input::{Seat, TokenId};
use super::room::Room;
use crate::protocol::{CloseCode, PeerId};

/// Tokens that a room remembers, more than people can be in it or wait.
const TOKENS: usize = 512;

/// The holders of tokens; the latest last.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(transparent)]
pub(super) struct TokenHolders(VecDeque<(TokenId, PeerId)>);

impl TokenHolders {
    fn get(&self, token: TokenId) -> Option<PeerId> {
        self.0.iter().find(|(known, _)| *known == token).map(|(_, holder)| *holder)
    }
}

impl<H> Room<H> {
    /// Rejects a token that belongs to somebody else: to a removed participant, or to one who is here.
    pub(super) fn check_token(&self, id: PeerId, token: Option<TokenId>) -> Result<(), Refusal> {
        let holder = token.and_then(|token| self.house.tokens.get(token)).filter(|holder| *holder != id);
        match holder {
            Some(holder) if self.house.removals.has(holder) => Err(Refusal::Dismissed(CloseCode::Removed)),
            Some(holder) if self.is_here(holder) => Err(Refusal::TokenInUse),
            _ => Ok(()),
        }
    }

    /// Assigns a token, which [`Room::check_token`] has accepted, to a participant.
    pub(super) fn assign_token(&mut self, id: PeerId, token: Option<TokenId>) {
        let Some(token) = token else { return };
        let mut holders = std::mem::take(&mut self.house.tokens).0;
        holders.retain(|(known, _)| *known != token);
        if holders.len() == TOKENS {
            let is_idle = |(_, holder): &(TokenId, PeerId)| !self.is_here(*holder);
            let left = holders.iter().position(|held| is_idle(held) && !self.house.removals.has(held.1));
            let oldest = left.or_else(|| holders.iter().position(is_idle)).unwrap_or_default();
            holders.remove(oldest);
        }
        holders.push_back((token, id));
        self.house.tokens = TokenHolders(holders);
    }

    /// Takes the token with which a member has renewed its lease (R61).
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
