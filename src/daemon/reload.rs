//! The configuration, read again while the service runs.

use std::sync::Arc;

use tokio::sync::{Mutex, watch};

use super::queue::Queue;
use super::service::Reloaded;
use crate::config::{Config, ConfigError};

/// Reads all layers of the configuration, flags too.
pub type Load = Box<dyn Fn() -> Result<Config, ConfigError> + Send + Sync>;

/// Takes on what another part of the program holds of it: the log, for one. It has been checked.
pub type Apply = Box<dyn Fn(&Config) + Send + Sync>;

/// Whoever reads it.
pub(super) struct Reloader {
    load: Arc<Load>,
    apply: Apply,
    /// One at a time.
    config: Mutex<watch::Sender<Arc<Config>>>,
}

impl Reloader {
    pub(super) fn new(load: Load, apply: Apply, config: watch::Sender<Arc<Config>>) -> Self {
        Self {
            load: Arc::new(load),
            apply,
            config: Mutex::new(config),
        }
    }

    /// Reads it, and takes on what can change. Where anything is wrong with it, nothing changes.
    pub(super) async fn reload(&self, queue: &Queue) -> Result<Reloaded, ConfigError> {
        let sender = self.config.lock().await;
        let load = Arc::clone(&self.load);
        // Files are read.
        let read = tokio::task::spawn_blocking(move || load()).await;
        let read = read.unwrap_or_else(|_| {
            let what = "it can't be read: the service is stopping, or has a fault";
            Err(ConfigError::together(what))
        })?;
        let mut config = Config::clone(&sender.borrow());
        let (applied, needs_restart) = config.adopt(&read);
        // The sockets stay as they are: what is in effect then must not let anybody in through them.
        super::api::check(&config.api, &config.api.listen).map_err(ConfigError::together)?;
        queue.change(|state| state.configure(&config));
        (self.apply)(&config);
        sender.send_replace(Arc::new(config));
        Ok(Reloaded {
            applied,
            needs_restart,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ApiToken, Scope};

    #[tokio::test]
    async fn no_reload_opens_a_socket_that_others_reach() {
        let mut config = Config::default();
        config.api.listen = vec!["0.0.0.0:1".parse().unwrap()];
        config.api.tokens = vec![ApiToken::generate(Scope::Read).1];
        let queue = Queue::new(&config);
        let (sender, configs) = watch::channel(Arc::new(config));
        // It is to listen on this host alone, without tokens: right for a start, but not for these sockets.
        let load = Box::new(|| Ok(Config::default()));
        let reloader = Reloader::new(load, Box::new(|_| {}), sender);
        let error = reloader.reload(&queue).await.unwrap_err();
        assert!(error.to_string().contains("0.0.0.0:1"), "{error}");
        assert_eq!(configs.borrow().api.tokens.len(), 1);
    }
}
