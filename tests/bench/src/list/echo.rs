//! Pages from memory over the server's own stack: how many a second there could be at most, if
//! making them cost nothing.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use chat_service::auth::{Auth, Caller, ServiceNames};
use prost::bytes::{Buf as _, BufMut as _, Bytes};
use service_runtime::{
    admission::{AdmissionLayer, Authenticate},
    services::{ServiceSet, Services},
    token::Verifier,
};
use testkit::{clients::KEYS, running::Running};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::{
    Request, Response, Status,
    body::Body,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    codegen::{BoxFuture, Context, Poll, Service},
    server::{Grpc, NamedService, UnaryService},
    transport::{Server, server::TcpIncoming},
};

/// Answers every call with one of the pages, in turn.
#[derive(Clone)]
struct Echo {
    pages: Arc<[Bytes]>,
    turn: Arc<AtomicUsize>,
}

impl Echo {
    fn next(&self) -> Bytes {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        self.pages[turn % self.pages.len()].clone()
    }
}

impl NamedService for Echo {
    const NAME: &'static str = "chat.v1.ChatService";
}

impl Service<http::Request<Body>> for Echo {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let page = Page(self.next());
        Box::pin(async move { Ok(Grpc::new(Raw).unary(page, request).await) })
    }
}

struct Page(Bytes);

impl UnaryService<()> for Page {
    type Response = Bytes;
    type Future = Ready<Result<Response<Bytes>, Status>>;

    fn call(&mut self, _: Request<()>) -> Self::Future {
        ready(Ok(Response::new(self.0.clone())))
    }
}

/// Messages as they are.
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = ();
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, page: Bytes, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put(page);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = ();
    type Error = Status;

    fn decode(&mut self, request: &mut DecodeBuf<'_>) -> Result<Option<()>, Status> {
        request.advance(request.remaining());
        Ok(Some(()))
    }
}

/// Serves `pages`; returns where.
pub(super) async fn start(pages: Vec<Bytes>) -> anyhow::Result<(String, Running)> {
    let echo = Echo {
        pages: pages.into(),
        turn: Arc::default(),
    };
    let served = Services::new().with(echo).finish(false).await?;
    let ServiceSet {
        routes, methods, ..
    } = served;
    let verifier = Verifier::from_public_key_pem(KEYS.public_pem.as_bytes())?;
    let auth = Auth::new(verifier, ServiceNames::default());
    let authenticate: Authenticate<Caller> = Arc::new(move |headers, _| {
        let caller = auth.authenticate(headers);
        Box::pin(async move { caller.await.map_err(Status::from) })
    });
    let admission = AdmissionLayer::new(methods, authenticate);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let url = format!("http://{}", listener.local_addr()?);
    let stop = CancellationToken::new();
    let serving = Server::builder()
        .accept_http1(true)
        .layer(tonic_web::GrpcWebLayer::new())
        .layer(admission)
        .add_routes(routes)
        .serve_with_incoming_shutdown(
            TcpIncoming::from(listener).with_nodelay(Some(true)),
            stop.clone().cancelled_owned(),
        );
    let running = Running::new(stop);
    running.spawn("echo", serving);
    Ok((url, running))
}
