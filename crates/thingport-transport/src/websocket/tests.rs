use super::*;
use std::collections::VecDeque;
use std::sync::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A WebSocket whose peer has said everything already.
#[derive(Default)]
struct Script {
    says: VecDeque<Result<Message, Error>>,
    hears: Vec<Message>,
}

impl Messages for Script {}

impl Stream for Script {
    type Item = Result<Message, Error>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(self.says.pop_front())
    }
}

impl Sink<Message> for Script {
    type Error = Error;

    fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<(), Error> {
        self.hears.push(message);
        Ok(())
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }
}

// As the items of a stream of messages are.
#[allow(clippy::unnecessary_wraps)]
fn binary(bytes: &'static [u8]) -> Result<Message, Error> {
    Ok(Message::Binary(Bytes::from_static(bytes)))
}

fn code(message: &Message) -> Option<u16> {
    match message {
        Message::Close(Some(frame)) => Some(frame.code),
        _ => None,
    }
}

#[tokio::test]
async fn messages_joined_are_the_bytes_wherever_they_are_cut() {
    let ping = Ok(Message::Ping(Bytes::from_static(b"x")));
    let says = [binary(b"\x10\x0c"), binary(b""), ping, binary(b"\0\x04MQTT"), binary(b"\xC0\0")];
    let script = Script { says: says.into(), hears: Vec::new() };
    let mut stream = MessageStream::new(script, |_, _: &str| {});
    let mut first = [0; 3];
    stream.read_exact(&mut first).await.expect("three bytes");
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.expect("the rest");
    assert_eq!([&first[..], &rest].concat(), b"\x10\x0c\0\x04MQTT\xC0\0");
}

#[tokio::test]
async fn a_close_of_the_peer_is_the_end_of_the_bytes() {
    let says = [binary(b"a"), Ok(Message::Close(None)), binary(b"b")];
    let script = Script { says: says.into(), hears: Vec::new() };
    let mut stream = MessageStream::new(script, |_, _: &str| {});
    let mut bytes = [0; 8];
    assert_eq!(stream.read(&mut bytes).await.expect("a byte"), 1);
    assert_eq!(stream.read(&mut bytes).await.expect("the end"), 0);
}

#[tokio::test]
async fn text_and_messages_that_are_too_large_end_it_with_a_code_and_a_reason() {
    let too_large = Err(Error::new("Space limit exceeded: Message too long: 9 > 8"));
    let text = Ok(Message::Text("hello".into()));
    for (message, reason, expected) in
        [(text, Reason::TextMessage, 1003), (too_large, Reason::PacketTooLarge, 1009)]
    {
        let told = Mutex::new(Vec::new());
        let script = Script { says: [message].into(), hears: Vec::new() };
        let mut stream = MessageStream::new(script, |reason, _: &str| {
            told.lock().expect("one thread").push(reason);
        });
        assert!(stream.read(&mut [0; 8]).await.is_err());
        assert_eq!(*told.lock().expect("one thread"), [reason]);
        assert_eq!(stream.socket.hears.iter().map(code).collect::<Vec<_>>(), [Some(expected)]);
        stream.shutdown().await.expect("nothing more to say");
        assert_eq!(stream.socket.hears.len(), 1, "closed once");
    }
}

#[tokio::test]
async fn what_is_written_leaves_as_binary_messages_and_the_end_as_a_normal_close() {
    let mut stream = MessageStream::new(Script::default(), |_, _: &str| {});
    let long = vec![7; FRAME_MAX + 1];
    stream.write_all(b"\x20\x02\0\0").await.expect("written");
    stream.write_all(&long).await.expect("written");
    stream.shutdown().await.expect("closed");
    let sizes: Vec<_> = stream
        .socket
        .hears
        .iter()
        .map(|message| match message {
            Message::Binary(bytes) => bytes.len(),
            _ => 0,
        })
        .collect();
    assert_eq!(sizes, [4, FRAME_MAX, 1, 0]);
    assert_eq!(stream.socket.hears.last().and_then(code), Some(1000));
}
