//! A connection on which its peer has begun to speak.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};

/// The connection preface of HTTP/2 clients (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A connection whose first bytes were read already; they are read again before the others.
pub(super) struct PrefacedStream<S> {
    first: [u8; PREFACE.len()],
    /// Of `first`, what was read and not read again.
    left: std::ops::Range<usize>,
    stream: S,
}

impl<S: AsyncRead + Unpin> PrefacedStream<S> {
    /// Waits until the peer has sent the whole preface of HTTP/2, or something else, for which
    /// HTTP/1.1 has a timeout of its own. `None` when it ends the connection before.
    pub(super) async fn wait(mut stream: S) -> Option<Self> {
        let mut first = [0; PREFACE.len()];
        let mut count = 0;
        while count < first.len() && PREFACE.starts_with(&first[..count]) {
            match stream.read(&mut first[count..]).await {
                Ok(0) | Err(_) => return None,
                Ok(more) => count += more,
            }
        }
        Some(Self {
            first,
            left: 0..count,
            stream,
        })
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for PrefacedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.left.is_empty() {
            return Pin::new(&mut self.stream).poll_read(context, buffer);
        }
        let count = self.left.len().min(buffer.remaining());
        let end = self.left.start + count;
        buffer.put_slice(&self.first[self.left.start..end]);
        self.left.start = end;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for PrefacedStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncWriteExt as _, duplex};

    use super::*;

    /// The bytes that are read of a connection whose peer sends these pieces.
    async fn heard(pieces: &[&[u8]]) -> Option<Vec<u8>> {
        // Each piece is taken before the next one is written.
        let (mut peer, stream) = duplex(1);
        let said = async {
            for piece in pieces {
                peer.write_all(piece).await.unwrap();
            }
            drop(peer);
        };
        let heard = async {
            let mut begun = PrefacedStream::wait(stream).await?;
            let mut bytes = Vec::new();
            begun.read_to_end(&mut bytes).await.unwrap();
            Some(bytes)
        };
        tokio::join!(heard, said).0
    }

    #[tokio::test]
    async fn the_first_bytes_are_read_again_in_front_of_the_others() {
        let whole = [PREFACE, b"and frames"].concat();
        for at in [1, 10, PREFACE.len(), PREFACE.len() + 1] {
            let (one, other) = whole.split_at(at);
            assert_eq!(heard(&[one, other]).await.unwrap(), whole, "cut at {at}");
        }
        assert_eq!(
            heard(&[b"POST / HTTP/1.1\r\n"]).await.unwrap(),
            b"POST / HTTP/1.1\r\n"
        );
        assert_eq!(heard(&[b"\x16\x03"]).await.unwrap(), b"\x16\x03");
    }

    #[tokio::test]
    async fn nothing_and_half_a_preface_are_no_beginning() {
        assert!(heard(&[]).await.is_none());
        assert!(heard(&[b"PRI * HTTP/2.0\r\n"]).await.is_none());
    }
}
