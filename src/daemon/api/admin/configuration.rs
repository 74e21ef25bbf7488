//! The configuration as it is in effect.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::config::entries;
use crate::daemon::api::{Api, Page};

/// A key of the configuration.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct ConfigEntry {
    /// Its section.
    section: &'static str,
    /// Its name.
    key: &'static str,
    /// What it means.
    meaning: String,
    /// Which values it takes.
    expected: &'static str,
    /// Its value as a file has it, without passwords; null where none is set.
    value: Option<String>,
    /// Its default; null where there is none.
    default: Option<String>,
    /// `default`, or `configuration` where it is another one.
    origin: &'static str,
}

/// Every key of the configuration, with its value as it is in effect.
#[utoipa::path(get, path = "/api/v1/config", tag = "admin",
    responses((status = 200, description = "All keys.", body = Page<ConfigEntry>)))]
pub(super) async fn show(State(api): State<Api>) -> Json<Page<ConfigEntry>> {
    let entries = entries(&api.config()).into_iter();
    Json(Page {
        items: entries
            .map(|entry| ConfigEntry {
                section: entry.section,
                key: entry.key,
                meaning: entry.meaning,
                expected: entry.expected,
                origin: if entry.value == entry.default {
                    "default"
                } else {
                    "configuration"
                },
                value: entry.value,
                default: entry.default,
            })
            .collect(),
        next: None,
    })
}
