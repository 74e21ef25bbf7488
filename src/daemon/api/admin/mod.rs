//! Administration: everything below `/admin`, and the configuration. With tokens, it takes one of the scope `admin`.

mod blocklist;
mod configuration;
mod failed;
mod life;
mod sources;

pub(super) use life::has_no_deadline;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;

/// How many rows were removed.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
struct Removed {
    /// So many.
    removed: u64,
}

/// All of it.
pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(failed::list))
        .routes(routes!(failed::remove))
        .routes(routes!(failed::clear))
        .routes(routes!(
            blocklist::list,
            blocklist::add,
            blocklist::remove_list
        ))
        .routes(routes!(blocklist::remove))
        .routes(routes!(sources::list))
        .routes(routes!(sources::pause))
        .routes(routes!(sources::resume))
        .routes(routes!(life::reload))
        .routes(routes!(life::backup))
        .routes(routes!(configuration::show))
}
