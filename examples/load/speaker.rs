//! Relaying members: pairs that exchange signals, and rooms that broadcast.

use std::sync::Arc;

use futures_util::future::try_join_all;
use roundtable::protocol::ClientMessage;
use serde_json::value::RawValue;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use crate::member::{Member, Target};
use crate::payload;
use crate::traffic::Link;

/// Member with the message that it sends.
pub struct Speaker {
    member: Member,
    message: Utf8Bytes,
    data: Arc<RawValue>,
}

impl Link for Speaker {
    async fn send(&mut self) -> Result<(), String> {
        self.member.send(self.message.clone()).await
    }

    async fn receive(&mut self) -> Result<(), String> {
        self.member.receive(&self.data).await
    }
}

/// Joins pairs, each in a room of its own, that send each other a `signal` of `size` bytes.
pub async fn pairs(target: &Target, count: usize, size: usize) -> Result<Vec<Vec<Speaker>>, String> {
    let data: Arc<RawValue> = payload::signal_data(size)?.into();
    let rooms = rooms(target, count, 2).await?;
    let pair = |members: Vec<Member>| {
        let ids: Vec<_> = members.iter().map(|member| member.id.clone()).collect();
        let speaker = |(member, to): (Member, &String)| Speaker {
            member,
            message: payload::encode(&ClientMessage::Signal { to, data: &data }),
            data: data.clone(),
        };
        members.into_iter().zip(ids.iter().rev()).map(speaker).collect()
    };
    Ok(rooms.into_iter().map(pair).collect())
}

/// Joins rooms of `room_size` members that send everybody else a `broadcast` of `size` bytes.
pub async fn broadcasters(
    target: &Target,
    count: usize,
    room_size: usize,
    size: usize,
) -> Result<Vec<Vec<Speaker>>, String> {
    let data: Arc<RawValue> = payload::broadcast_data(size)?.into();
    let message = payload::encode(&ClientMessage::Broadcast { data: &data });
    let rooms = rooms(target, count, room_size).await?;
    let speaker = |member| Speaker { member, message: message.clone(), data: data.clone() };
    Ok(rooms.into_iter().map(|members| members.into_iter().map(speaker).collect()).collect())
}

/// Joins one room after another, so that the load of concurrent joins is not measured.
async fn rooms(target: &Target, count: usize, room_size: usize) -> Result<Vec<Vec<Member>>, String> {
    let mut rooms = Vec::with_capacity(count);
    for room in 0..count {
        let first = room * room_size;
        let joins = (first..first + room_size).map(|number| Member::join(target, room, number));
        rooms.push(try_join_all(joins).await?);
    }
    Ok(rooms)
}
