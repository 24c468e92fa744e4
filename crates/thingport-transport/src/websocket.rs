//! MQTT over WebSocket (section 6 of the MQTT standards), so that a browser can be a device.
//!
//! A WebSocket is one more byte stream: binary messages joined are the bytes of MQTT, wherever messages
//! begin and end. What is written leaves as one message per write. Bounds, guards and drain are those of
//! every connection, because the stream comes in through the [`Door`].

use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::io;
use std::net::SocketAddr;

use axum::body::Bytes;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{ConnectInfo, Extension, State};
use axum::response::Response;
use axum::routing::any;
use axum::{Error, Router};
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use thingport_model::reason::Reason;
use thingport_model::security::Security;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::door::Door;

/// The route `/mqtt`. To be served with the peer's address as [`ConnectInfo`] and, behind TLS, with its
/// [`Security`] as an extension; without a fallback, so that it can be merged with others.
pub fn router(door: Door) -> Router {
    Router::new().route("/mqtt", any(upgrade)).with_state(door)
}

async fn upgrade(
    State(door): State<Door>,
    ConnectInfo(remote): ConnectInfo<SocketAddr>,
    security: Option<Extension<Security>>,
    socket: WebSocketUpgrade,
) -> Response {
    let message_max = door.packet_size_max() + MESSAGE_SPARE;
    let socket = socket
        .protocols(PROTOCOLS)
        .read_buffer_size(BUFFER)
        .write_buffer_size(0)
        .max_write_buffer_size(2 * FRAME_MAX + BUFFER)
        .max_message_size(message_max)
        .max_frame_size(message_max);
    // Some clients name no protocol. One that names others only gets none of them, and will leave.
    socket.on_upgrade(move |socket| async move {
        let refused = Refused { door: door.clone(), remote };
        let stream = MessageStream::new(socket, move |reason, detail: &str| {
            refused.door.record(reason, detail, refused.remote);
        });
        door.serve_stream(stream, remote, security.map(|Extension(it)| Box::new(it)));
    })
}

struct Refused {
    door: Door,
    remote: SocketAddr,
}

/// Messages as a stream of bytes. `refused` is told why a message ended it.
struct MessageStream<S, F> {
    socket: S,
    /// What was not read of the last message.
    rest: Bytes,
    closing: bool,
    refused: F,
}

/// What is needed of a WebSocket.
trait Messages:
    Stream<Item = Result<Message, Error>> + Sink<Message, Error = Error> + Unpin + Send
{
}

impl Messages for WebSocket {}

impl<S: Messages, F: Fn(Reason, &str) + Unpin> MessageStream<S, F> {
    const fn new(socket: S, refused: F) -> Self {
        Self { socket, rest: Bytes::new(), closing: false, refused }
    }

    /// Tells the client by a code, as far as it listens, and ends the stream.
    fn refuse(&mut self, cx: &mut Context<'_>, reason: Reason, detail: &str) -> io::Error {
        let code = match reason {
            Reason::PacketTooLarge => close_code::SIZE,
            _ => close_code::UNSUPPORTED,
        };
        (self.refused)(reason, detail);
        self.closing = true;
        let _ = self.socket.start_send_unpin(close(code, reason.sentence()));
        let _ = self.socket.poll_flush_unpin(cx);
        io::Error::new(io::ErrorKind::InvalidData, reason.sentence())
    }
}

impl<S: Messages, F: Fn(Reason, &str) + Unpin> AsyncRead for MessageStream<S, F> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.rest.is_empty() {
            match ready!(this.socket.poll_next_unpin(cx)) {
                Some(Ok(Message::Binary(bytes))) => this.rest = bytes,
                // Pings are answered below.
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Close(_))) | None => return Poll::Ready(Ok(())),
                Some(Ok(Message::Text(_))) => {
                    return Poll::Ready(Err(this.refuse(cx, Reason::TextMessage, "")));
                }
                Some(Err(error)) => {
                    let detail = error.to_string();
                    return Poll::Ready(Err(if detail.starts_with(TOO_LONG) {
                        this.refuse(cx, Reason::PacketTooLarge, &detail)
                    } else {
                        io::Error::other(error)
                    }));
                }
            }
        }
        let size = this.rest.len().min(into.remaining());
        into.put_slice(&this.rest.split_to(size));
        Poll::Ready(Ok(()))
    }
}

impl<S: Messages, F: Fn(Reason, &str) + Unpin> AsyncWrite for MessageStream<S, F> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.socket.poll_ready_unpin(cx)).map_err(io::Error::other)?;
        let bytes = bytes.get(..FRAME_MAX).unwrap_or(bytes);
        let message = Message::Binary(Bytes::copy_from_slice(bytes));
        this.socket.start_send_unpin(message).map_err(io::Error::other)?;
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().socket.poll_flush_unpin(cx).map_err(io::Error::other)
    }

    /// The closing handshake, as far as it is ours.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.closing {
            ready!(this.socket.poll_ready_unpin(cx)).map_err(io::Error::other)?;
            this.closing = true;
            // A client that has closed already is not told again.
            let _ = this.socket.start_send_unpin(close(close_code::NORMAL, ""));
        }
        this.socket.poll_flush_unpin(cx).map(|_| Ok(()))
    }
}

fn close(code: u16, reason: &'static str) -> Message {
    Message::Close(Some(CloseFrame { code, reason: reason.into() }))
}

/// What a client may offer; the second one is what libraries for MQTT 3.1 say.
const PROTOCOLS: [&str; 2] = ["mqtt", "mqttv3.1"];
/// Bytes read at once; each open WebSocket keeps so many.
const BUFFER: usize = 4 * 1024;
/// Bytes of the largest message that is sent.
const FRAME_MAX: usize = 64 * 1024;
/// A message may be larger than the largest packet by its header.
const MESSAGE_SPARE: usize = 16;
/// How the library begins to say that a message is larger than is accepted; its own type is not told.
const TOO_LONG: &str = "Space limit exceeded";

#[cfg(test)]
mod tests;
