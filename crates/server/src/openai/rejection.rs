//! Errors as OpenAI's clients read them: a status, and `{"error": {message, type, param, code}}`.

use app::ErrorKind;
use axum::Json;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// A request that is not answered.
#[derive(Debug)]
pub(crate) struct Rejection {
    status: StatusCode,
    kind: &'static str,
    code: Option<&'static str>,
    parameter: Option<String>,
    message: String,
}

impl Rejection {
    pub(crate) fn invalid(parameter: &str, message: String) -> Rejection {
        Rejection {
            status: StatusCode::BAD_REQUEST,
            kind: "invalid_request_error",
            code: None,
            parameter: (!parameter.is_empty()).then(|| parameter.to_owned()),
            message,
        }
    }

    pub(crate) fn not_found(message: String) -> Rejection {
        let status = StatusCode::NOT_FOUND;
        Rejection { status, code: Some("not_found"), ..Rejection::invalid("", message) }
    }

    pub(crate) fn model_not_found(asked: &str, served: &str) -> Rejection {
        let message = format!("model `{asked}` is not served here; this server has `{served}`");
        let status = StatusCode::NOT_FOUND;
        Rejection { status, code: Some("model_not_found"), ..Rejection::invalid("model", message) }
    }

    pub(crate) fn forbidden(message: String) -> Rejection {
        let status = StatusCode::FORBIDDEN;
        Rejection { status, kind: "permission_error", ..Rejection::invalid("", message) }
    }

    /// A body that was not taken in, such as one that is too large.
    pub(crate) fn not_taken(status: StatusCode, why: String) -> Rejection {
        Rejection { status, ..Rejection::invalid("", why) }
    }

    pub(crate) fn method(method: &Method, path: &str) -> Rejection {
        let status = StatusCode::METHOD_NOT_ALLOWED;
        let message = format!("{path} does not take {method}");
        Rejection { status, ..Rejection::invalid("", message) }
    }

    pub(crate) fn body(&self) -> Value {
        json!({ "error": {
            "message": self.message,
            "type": self.kind,
            "param": self.parameter,
            "code": self.code,
        } })
    }
}

impl From<app::Error> for Rejection {
    fn from(error: app::Error) -> Rejection {
        let (status, kind, code) = match error.kind {
            ErrorKind::BadRequest => (StatusCode::BAD_REQUEST, "invalid_request_error", None),
            ErrorKind::ContextLength => {
                (StatusCode::BAD_REQUEST, "invalid_request_error", Some("context_length_exceeded"))
            }
            ErrorKind::NotFound => {
                (StatusCode::NOT_FOUND, "invalid_request_error", Some("model_not_found"))
            }
            ErrorKind::Busy => {
                (StatusCode::TOO_MANY_REQUESTS, "rate_limit_error", Some("queue_full"))
            }
            ErrorKind::BadModel
            | ErrorKind::Machine
            | ErrorKind::Cancelled
            | ErrorKind::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "server_error", None),
        };
        let parameter = error.parameter.map(str::to_owned);
        Rejection { status, kind, code, parameter, message: error.message }
    }
}

impl IntoResponse for Rejection {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body())).into_response();
        if self.status == StatusCode::TOO_MANY_REQUESTS {
            let wait = axum::http::HeaderValue::from_static("1");
            response.headers_mut().insert(axum::http::header::RETRY_AFTER, wait);
        }
        response
    }
}
