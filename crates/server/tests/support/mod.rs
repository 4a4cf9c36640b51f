//! A server of a tiny model, and its client.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::mpsc;
use std::thread::JoinHandle;

use app::{AdapterSource, App, Config, LoadOptions, ModelRef};
use serde_json::Value;

pub(crate) struct Server {
    address: SocketAddr,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<JoinHandle<Result<(), server::Error>>>,
}

impl Server {
    /// Of `tiny.gguf` in the folder, which also becomes its home.
    pub(crate) fn start(folder: &Path, adapters: Vec<AdapterSource>) -> Server {
        let app = App::new(Config::alone(folder.join("hob"))).expect("a house");
        let model = ModelRef { name: "tiny".to_owned(), path: folder.join("tiny.gguf") };
        let options = LoadOptions { threads: Some(1), adapters, ..LoadOptions::default() };
        let model = app.load(&model, &options, &mut |_, _| {}).expect("a sound model");
        let (ready, address) = mpsc::channel();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let options = server::Options { listen, allow_origins: Vec::new() };
        let thread = std::thread::spawn(move || {
            let ready = move |address| ready.send(address).expect("the test waits for it");
            server::serve(options, app, model, ready, async {
                // Also when the test has gone.
                let _ = stopped.await;
            })
        });
        let address = address.recv().expect("it listens");
        Server { address, stop: Some(stop), thread: Some(thread) }
    }

    /// Status and body; null sends none.
    pub(crate) fn ask(&self, method: &str, path: &str, body: &Value) -> (u16, String) {
        #[expect(
            clippy::disallowed_types,
            reason = "the test is a client of this machine's server"
        )]
        let mut stream = std::net::TcpStream::connect(self.address).expect("it listens");
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
        let length = format!("Content-Length: {}\r\n\r\n", body.len());
        stream.write_all((head + &length + &body).as_bytes()).expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers in UTF-8");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        (status.expect("a status"), body.to_owned())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        let served = self.thread.take().map(JoinHandle::join);
        if !std::thread::panicking() {
            served.expect("it ran").expect("no panic").expect("no failure");
        }
    }
}
