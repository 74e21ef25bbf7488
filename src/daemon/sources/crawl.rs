//! The crawl of the DHT as a source: what it finds waits in memory, and it is told how much room there is.

use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval};

use crate::config::{Config, CrawlKeys};
use crate::daemon::service::Service;
use crate::daemon::source::SourceName;
use crate::daemon::work::NotFound;
use crate::discovery::crawl::{Crawl, CrawlCounters, Discovered, NodeRecord};
use crate::discovery::dht::{Dht, Purpose};
use crate::engine::crawling::{Acquaint, Again, Memory};

/// How much the room must change before the crawl is told.
const STEP: f32 = 0.01;
/// How long a DHT that has ended is left alone.
const PAUSE: Duration = Duration::from_secs(30);

/// What the crawl has of its own.
pub(in crate::daemon) struct Parts {
    pub(in crate::daemon) memory: Memory,
    /// Nodes of the last run.
    pub(in crate::daemon) nodes: Vec<NodeRecord>,
    /// Hashes that were not resolved.
    pub(in crate::daemon) not_found: mpsc::Receiver<NotFound>,
    /// What it did.
    pub(in crate::daemon) counters: watch::Sender<Option<CrawlCounters>>,
}

/// Crawls while the configuration says so, until the service stops; then saves what it knows.
pub(in crate::daemon) async fn run(service: Service, parts: &mut Parts) {
    let mut configs = service.configs();
    loop {
        let keys = wanted(&configs.borrow_and_update());
        let Some(keys) = keys else {
            tokio::select! {
                () = service.stopped() => break,
                changed = configs.changed() => if changed.is_err() { break },
                _ = parts.not_found.recv() => {}
            }
            continue;
        };
        let Some(dht) = service.engine().dht().filter(|dht| !dht.is_closed()) else {
            let problem = "the DHT can't be used, so that nothing is crawled".to_owned();
            (service.queue()).change(|state| state.set_problem(SourceName::Crawl, Some(problem)));
            tokio::select! {
                () = service.stopped() => break,
                () = tokio::time::sleep(PAUSE) => {}
                changed = configs.changed() => if changed.is_err() { break },
            }
            continue;
        };
        service
            .queue()
            .change(|state| state.set_problem(SourceName::Crawl, None));
        crawl(&service, parts, dht, &keys).await;
        if service.inner().stop.is_cancelled() {
            break;
        }
    }
    let nodes = std::mem::take(&mut parts.nodes);
    parts.memory.finish(nodes, service.engine()).await;
}

/// How it is to crawl; `None` for not at all.
fn wanted(config: &Config) -> Option<CrawlKeys> {
    config.sources.crawl.then(|| config.crawl.clone())
}

/// One crawl, until the service stops, it is to go on in another way, or the DHT node is gone.
async fn crawl(service: &Service, parts: &mut Parts, dht: Dht, keys: &CrawlKeys) {
    let (hungry, wants) = watch::channel(0.0);
    let config = service.config();
    let nodes = std::mem::take(&mut parts.nodes);
    let (crawl, mut discovered) = Crawl::start(
        dht.with_purpose(Purpose::Crawl),
        nodes,
        config.crawl_options(),
        wants,
    );
    let mut configs = service.configs();
    let (mut again, mut acquaint) = (Again::default(), Acquaint::default());
    let mut seconds = interval(Duration::from_secs(1));
    seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut looks = interval(Duration::from_millis(100));
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let room = service.queue().look(super::super::queue::State::crawl_room);
        feed(&hungry, room);
        tokio::select! {
            () = service.stopped() => break,
            changed = configs.changed() => {
                if changed.is_err() || wanted(&configs.borrow()).as_ref() != Some(keys) {
                    break;
                }
            }
            new = discovered.recv(), if room > 0.0 => {
                let Some(new) = new else { break };
                take(service, new, &mut discovered);
            }
            // There may be room again.
            _ = looks.tick(), if room <= 0.0 => {}
            Some(NotFound { infohash, retry_at_ms }) = parts.not_found.recv() => {
                again.failed(infohash, retry_at_ms);
                crawl.forget_announce(&infohash);
            }
            () = parts.memory.due() => {
                parts.memory.save(crawl.nodes_to_save(), service.engine()).await;
            }
            _ = seconds.tick() => {
                if dht.is_closed() {
                    tracing::warn!("the DHT node has ended: nothing is crawled");
                    break;
                }
                crawl.forget(again.due());
                let counters = crawl.counters();
                let known = counters.nodes;
                parts.counters.send_replace(Some(counters));
                acquaint.each_second(service.engine(), &crawl, known).await;
            }
        }
    }
    parts.counters.send_replace(Some(crawl.counters()));
    parts.nodes = crawl.nodes_to_save();
}

/// Puts what was found into the queue, at once with what waits behind it.
fn take(service: &Service, first: Discovered, discovered: &mut mpsc::Receiver<Discovered>) {
    service.queue().change(|state| {
        state.discovered(first);
        while state.crawl_room() > 0.0
            && let Ok(next) = discovered.try_recv()
        {
            state.discovered(next);
        }
    });
}

fn feed(hungry: &watch::Sender<f32>, room: f32) {
    hungry.send_if_modified(|told| {
        let changed = (*told - room).abs() >= STEP || (room == 0.0) != (*told == 0.0);
        if changed {
            *told = room;
        }
        changed
    });
}
