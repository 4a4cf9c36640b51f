//! The HTTP face: OpenAI's dialect over a loaded model, on loopback unless told otherwise.
//!
//! Entry point: [`serve`]. Endpoints are rows in `routes.rs`, one file each.
//!
//! **Invariant:** wire JSON lives here and nowhere below; nothing here reaches below `app`.
//! **Invariant:** a client that goes away drops its `app::Generation`, which stops its tokens.

mod host;
mod house;
mod limits;
mod openai;
mod origin;
mod routes;

pub use house::status::{
    DeviceView, EnergyView, HouseStatus, MemoryView, ModelView, MomentView, ProcessorView,
    RequestView,
};

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

/// How to serve.
#[derive(Clone, Debug)]
pub struct Options {
    /// Address and port; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Origins whose pages may talk to hob, beside those of this machine.
    pub allow_origins: Vec<String>,
}

/// Why it cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Someone else has the port.
    #[error(
        "{0} is in use by another program (Ollama listens on port 11434 too): stop that one, or \
         choose another port with --listen {ip}:PORT", ip = .0.ip()
    )]
    PortBusy(SocketAddr),
    /// The address is not this machine's, or not allowed.
    #[error(
        "cannot listen on {address}: {source}; choose an address of this machine with --listen"
    )]
    Listen {
        /// What was asked for.
        address: SocketAddr,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The runtime failed.
    #[error("the server failed: {0}")]
    Runtime(#[from] std::io::Error),
}

/// How long answers in flight may take to end once a stop was asked for.
const DRAIN_MAX: Duration = Duration::from_secs(10);

/// Serves `model` of `app` until `stop` completes, then lets answers in flight end for a while.
/// `ready` is called with the address once connections are accepted. Blocks.
///
/// # Errors
/// When the address cannot be had, or the runtime fails.
pub fn serve(
    options: Options,
    app: app::App,
    model: app::LoadedModel,
    ready: impl FnOnce(SocketAddr),
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("hob-http")
        .enable_all()
        .build()?;
    runtime.block_on(async move {
        let address = options.listen;
        let listener = tokio::net::TcpListener::bind(address).await.map_err(|source| {
            if source.kind() == std::io::ErrorKind::AddrInUse {
                Error::PortBusy(address)
            } else {
                Error::Listen { address, source }
            }
        })?;
        ready(listener.local_addr()?);
        model.prepare_constraints();
        let router = routes::router(app, model, (address.ip(), options.allow_origins.into()));
        let (stopping, stopped) = tokio::sync::oneshot::channel();
        let graceful = async move {
            stop.await;
            // The receiver is gone only when the server has ended already.
            let _ = stopping.send(());
        };
        let serving = axum::serve(listener, router).with_graceful_shutdown(graceful);
        let deadline = async {
            if stopped.await.is_ok() {
                tokio::time::sleep(DRAIN_MAX).await;
            } else {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            served = serving => served.map_err(Error::Runtime),
            () = deadline => Ok(()),
        }
    })
}
