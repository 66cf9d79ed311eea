//! A program that is told of something by requests to it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// A request as it came: what is in its head, and its body.
pub(crate) struct Message {
    pub(crate) fields: HeaderMap,
    pub(crate) body: Bytes,
}

/// Answers as it was taught, by status: 204 when nothing is left of that, never for 0.
pub(crate) struct Receiver {
    port: u16,
    answers: Arc<Mutex<VecDeque<u16>>>,
    pub(crate) messages: mpsc::UnboundedReceiver<Message>,
}

impl Receiver {
    pub(crate) async fn start(answers: impl IntoIterator<Item = u16>) -> Self {
        let (told, messages) = mpsc::unbounded_channel();
        let answers = Arc::new(Mutex::new(answers.into_iter().collect::<VecDeque<_>>()));
        let taught = answers.clone();
        let hear = async move |fields: HeaderMap, body: Bytes| {
            let status = taught.lock().unwrap().pop_front().unwrap_or(204);
            told.send(Message { fields, body }).unwrap();
            if status == 0 {
                std::future::pending::<()>().await;
            }
            let elsewhere = [("location", "http://127.0.0.1:9/")];
            (StatusCode::from_u16(status).unwrap(), elsewhere)
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move { axum::serve(listener, Router::new().fallback(hear)).await.unwrap() });
        Self { port, answers, messages }
    }

    /// Where it is, without a path.
    pub(crate) fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Every answer that it was taught was given.
    pub(crate) fn has_answered(&self) -> bool {
        self.answers.lock().unwrap().is_empty()
    }

    pub(crate) async fn next(&mut self) -> Message {
        timeout(Duration::from_secs(60), self.messages.recv()).await.expect("a message").unwrap()
    }
}
