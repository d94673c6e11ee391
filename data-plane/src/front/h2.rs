//! stub
use std::rc::Rc;

use bytes::BytesMut;

use super::{Handler, Transport};
use crate::message::Client;

pub(super) async fn serve<S: Transport, H: Handler>(_: S, _: BytesMut, _: Rc<Client>, _: Rc<H>) {}
