//! Memory of messages that wait to be sent or acknowledged, and of those that have arrived in part: bounded for each
//! address and for the whole server (R103).

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use prometheus_client::metrics::gauge::Gauge;

/// Bytes that a queue, or the buffers of a socket, may hold however much others hold: three offers of 11 KB. A client
/// that acknowledges after 32 messages or one second, as the page does, seldom holds more.
pub const GUARANTEED_BYTES: usize = 32 * 1024;

/// Bytes held by all sessions of one network, or of the whole server.
#[derive(Debug)]
pub(super) struct QueuePool {
    /// 0 for no limit.
    limit: u64,
    held: Gauge<i64, AtomicI64>,
}

impl QueuePool {
    pub(super) fn new(limit: u64, held: Gauge<i64, AtomicI64>) -> Arc<Self> {
        Arc::new(Self { limit, held })
    }

    /// Returns by how much the limit is exceeded.
    fn excess(&self) -> u64 {
        let held = u64::try_from(self.held.get()).unwrap_or_default();
        if self.limit == 0 { 0 } else { held.saturating_sub(self.limit) }
    }
}

/// Pools in which the bytes of one connection count. The default account has none.
#[derive(Clone, Debug, Default)]
pub struct QueueAccount(Option<Arc<[Arc<QueuePool>]>>);

impl QueueAccount {
    pub(super) fn new(pools: impl IntoIterator<Item = Arc<QueuePool>>) -> Self {
        Self(Some(pools.into_iter().collect()))
    }

    fn update(&self, before: usize, now: usize) {
        if before != now {
            let change = now as i64 - before as i64;
            for pool in self.pools() {
                pool.held.inner().fetch_add(change, Ordering::Relaxed);
            }
        }
    }

    fn allowance(&self, held: usize) -> usize {
        // True of most connections: they need no look at the pools that all share.
        if held <= GUARANTEED_BYTES {
            return held;
        }
        let excess = self.pools().map(|pool| pool.excess()).max().unwrap_or_default();
        let without = held.saturating_sub(usize::try_from(excess).unwrap_or(usize::MAX));
        without.max(GUARANTEED_BYTES)
    }

    fn pools(&self) -> impl Iterator<Item = &Arc<QueuePool>> {
        self.0.iter().flat_map(|pools| pools.iter())
    }
}

/// Number of bytes that one queue or one socket holds, counted in an account until this is dropped.
#[derive(Debug)]
pub struct Holding {
    account: QueueAccount,
    bytes: usize,
}

impl Holding {
    /// Creates a holding of no bytes.
    pub fn new(account: QueueAccount) -> Self {
        Self { account, bytes: 0 }
    }

    /// Returns the account in which the bytes count.
    pub fn account(&self) -> &QueueAccount {
        &self.account
    }

    /// Returns the number of bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Replaces the number of bytes.
    pub fn set(&mut self, bytes: usize) {
        self.account.update(std::mem::replace(&mut self.bytes, bytes), bytes);
    }

    /// Returns how many of its bytes it may keep.
    pub fn allowance(&self) -> usize {
        self.account.allowance(self.bytes)
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r103_only_sessions_above_the_guaranteed_bytes_give_way() {
        let (of_address, of_server) = (QueuePool::new(100_000, Gauge::default()), QueuePool::new(0, Gauge::default()));
        let account = QueueAccount::new([of_address, of_server]);
        account.update(0, 100_000);
        assert_eq!(account.allowance(100_000), 100_000, "at the limit nobody gives way");
        account.update(0, 20_000);
        assert_eq!([20_000, 40_000, 120_000].map(|held| account.allowance(held)), [20_000, GUARANTEED_BYTES, 100_000]);
        account.update(100_000, 0);
        assert_eq!(account.allowance(20_000), 20_000);
        assert_eq!(QueueAccount::default().allowance(usize::MAX), usize::MAX);
    }
}
