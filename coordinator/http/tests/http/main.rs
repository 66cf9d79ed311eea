//! What is served over HTTP, asked as programs and browsers do. One program, for it takes longer to link than to run.

#![allow(clippy::unwrap_used, reason = "tests")]

mod api;
mod asked;
mod blobs;
mod document;
mod openai;
mod receiver;
mod webhooks;
