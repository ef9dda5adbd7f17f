//! The broker that a client command talks to.

use std::io::ErrorKind;
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use clap::Args;
use corelog_client::{Client, ClientOptions};
use futures_lite::future::block_on;

use crate::exit::{self, Coded};
use crate::progress::Progress;
use crate::quantity;

/// Waits for a broker's answer, and shows that where it takes long.
pub(crate) fn wait_for<T>(answer: impl Future<Output = T>) -> T {
    let _progress = Progress::start("waiting for the broker");
    block_on(answer)
}

#[derive(Debug, Args)]
pub(crate) struct Server {
    /// Any address of the broker
    #[arg(long, env = "CORELOG_SERVER", default_value = "127.0.0.1:9092", value_name = "HOST:PORT")]
    pub(crate) server: String,
    /// How long a request may take, retries included
    #[arg(long, default_value = "10s", value_parser = quantity::duration, value_name = "TIME")]
    pub(crate) timeout: Duration,
}

impl Server {
    /// The client itself tries again and again; who asked by hand wants to know at once that nobody listens.
    pub(crate) fn check_reachable(&self) -> anyhow::Result<()> {
        let unreachable = |reason: String| {
            let text = format!(
                "no broker answers at {}: {reason}. Is one running (`corelog serve`)? --server or CORELOG_SERVER names another",
                self.server
            );
            Coded::error(exit::UNREACHABLE, text)
        };
        let addresses = self.server.to_socket_addrs().map_err(|error| match error.kind() {
            ErrorKind::InvalidInput => {
                Coded::error(exit::MISUSED, format!("--server {:?} is no HOST:PORT", self.server))
            }
            _ => unreachable(error.to_string()),
        })?;
        let mut reason = "the name has no address".to_owned();
        for address in addresses {
            match TcpStream::connect_timeout(&address, self.timeout.max(Duration::from_millis(1))) {
                Ok(_) => return Ok(()),
                Err(error) => reason = error.to_string(),
            }
        }
        Err(unreachable(reason))
    }

    pub(crate) fn connect(&self) -> anyhow::Result<Client> {
        self.check_reachable()?;
        let options = ClientOptions {
            client_id: "corelog-cli".to_owned(),
            request_timeout: self.timeout,
            ..ClientOptions::new(self.server.clone())
        };
        Ok(Client::connect(options)?)
    }
}
