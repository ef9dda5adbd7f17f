//! ApiVersions: what the broker speaks. The first request of a connection.

use super::api::{Api, ApiKey};
use super::field::Text;
use super::message::message;

/// The API.
pub struct ApiVersions;

impl Api for ApiVersions {
    const KEY: ApiKey = ApiKey::ApiVersions;
    type Request = ApiVersionsRequest;
    type Response = ApiVersionsResponse;
}

message! {
    /// Asks, and says who asks.
    pub struct ApiVersionsRequest {
        client_software_name: Text, 3..;
        client_software_version: Text, 3..;
    }

    /// Tells. To a version nobody knows it is told in the form of version 0.
    pub struct ApiVersionsResponse {
        error_code: i16, 0..;
        api_keys: Vec<ApiVersion>, 0..;
        throttle_time_ms: i32, 1..;
    } tagged {
        0 => supported_features: Vec<SupportedFeature>, 3..;
        1 => finalized_features_epoch: i64, 3.. => -1;
        2 => finalized_features: Vec<FinalizedFeature>, 3..;
        3 => zk_migration_ready: bool, 3..;
    }

    /// The versions of an API.
    pub struct ApiVersion {
        api_key: i16, 0..;
        min_version: i16, 0..;
        max_version: i16, 0..;
    }

    /// The versions of a feature that are spoken.
    pub struct SupportedFeature {
        name: Text, 3..;
        min_version: i16, 3..;
        max_version: i16, 3..;
    }

    /// The versions of a feature that hold for the cluster.
    pub struct FinalizedFeature {
        name: Text, 3..;
        max_version_level: i16, 3..;
        min_version_level: i16, 3..;
    }
}
