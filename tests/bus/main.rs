//! One contract for all stores: the in-process store, and real Redis servers in all supported topologies.

mod clusters;
mod contract;
mod model;
mod outages;
mod redis;
mod secured;
mod sentinels;
mod server;

/// In-process store.
mod local {
    use std::sync::Arc;

    use roundtable::cluster::local::LocalEngine;
    use roundtable::cluster::records::Limits;
    use tokio::sync::mpsc;

    use crate::contract::{self, Engine};
    use crate::server::{Server, new_id};

    struct Local(LocalEngine);

    impl Engine for Local {
        fn server(&self, limits: Limits) -> Server {
            let (id, (sender, events)) = (new_id(), mpsc::channel(4096));
            self.0.set_limits(limits);
            Server::new(id, Arc::new(self.0.connect(id, sender)), events)
        }
    }

    contract::keeps_its_promises!(Local(LocalEngine::default()));
}

/// Single server.
mod single {
    use crate::contract;
    use crate::redis::Single;

    contract::keeps_its_promises!(Single::start());
}
