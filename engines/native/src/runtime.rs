//! The runtime a device lives on: the one it was started on, whoever calls it later.

use std::pin::Pin;
use std::time::Duration;

use tokio::runtime::Handle;
use whatsapp_rust::wacore::runtime::{AbortHandle, Runtime};

type Work = Pin<Box<dyn Future<Output = ()> + Send + 'static>>;

/// See above. Calls come from every worker of the web server; a task that one of them spawned would be its alone.
pub(crate) struct Home(pub Handle);

#[whatsapp_rust::async_trait]
impl Runtime for Home {
    fn spawn(&self, future: Work) -> AbortHandle {
        let task = self.0.spawn(future);
        AbortHandle::new(move || task.abort())
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(tokio::time::sleep(duration))
    }

    fn spawn_blocking(
        &self,
        f: Box<dyn FnOnce() + Send + 'static>,
    ) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let task = self.0.spawn_blocking(f);
        Box::pin(async {
            let _ = task.await;
        })
    }

    fn yield_now(&self) -> Option<Pin<Box<dyn Future<Output = ()> + Send>>> {
        None
    }
}
