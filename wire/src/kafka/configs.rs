//! DescribeConfigs, IncrementalAlterConfigs and AlterConfigs: settings of topics and brokers.

use super::api::{Api, ApiKey};
use super::field::Text;
use super::message::message;

/// Tells settings.
pub struct DescribeConfigs;

impl Api for DescribeConfigs {
    const KEY: ApiKey = ApiKey::DescribeConfigs;
    type Request = DescribeConfigsRequest;
    type Response = DescribeConfigsResponse;
}

/// Changes the settings it names.
pub struct IncrementalAlterConfigs;

impl Api for IncrementalAlterConfigs {
    const KEY: ApiKey = ApiKey::IncrementalAlterConfigs;
    type Request = IncrementalAlterConfigsRequest;
    type Response = IncrementalAlterConfigsResponse;
}

/// Replaces all settings of a resource.
pub struct AlterConfigs;

impl Api for AlterConfigs {
    const KEY: ApiKey = ApiKey::AlterConfigs;
    type Request = AlterConfigsRequest;
    type Response = AlterConfigsResponse;
}

message! {
    /// Of what.
    pub struct DescribeConfigsRequest {
        resources: Vec<DescribeConfigsResource>, 0..;
        include_synonyms: bool, 1..;
        include_documentation: bool, 3..;
    }

    /// A resource.
    pub struct DescribeConfigsResource {
        /// 2: a topic, 4: a broker, 8: a broker's loggers, 16: client metrics, 32: a group.
        resource_type: i8, 0..;
        resource_name: Text, 0..;
        /// Null: all.
        configuration_keys: Option<Vec<Text>>, 0..;
    }

    /// The settings.
    pub struct DescribeConfigsResponse {
        throttle_time_ms: i32, 0..;
        results: Vec<DescribedResource>, 0..;
    }

    /// The settings of a resource.
    pub struct DescribedResource {
        error_code: i16, 0..;
        error_message: Option<Text>, 0..;
        resource_type: i8, 0..;
        resource_name: Text, 0..;
        configs: Vec<DescribedConfig>, 0..;
    }

    /// A setting.
    pub struct DescribedConfig {
        name: Text, 0..;
        value: Option<Text>, 0..;
        read_only: bool, 0..;
        /// 1: the topic's, 4: the broker's file or flags, 5: the default.
        config_source: i8, 1.. => -1;
        is_sensitive: bool, 0..;
        synonyms: Vec<ConfigSynonym>, 1..;
        /// 1: a truth, 2: a text, 3: 32 bits, 4: 16 bits, 5: 64 bits, 6: a float, 7: a list, 8: a class, 9: a password.
        config_type: i8, 3..;
        documentation: Option<Text>, 3..;
    }

    /// Where else a setting is set.
    pub struct ConfigSynonym {
        name: Text, 1..;
        value: Option<Text>, 1..;
        source: i8, 1..;
    }

    /// Of what, and how.
    pub struct IncrementalAlterConfigsRequest {
        resources: Vec<IncrementalAlterConfigsResource>, 0..;
        validate_only: bool, 0..;
    }

    /// A resource.
    pub struct IncrementalAlterConfigsResource {
        resource_type: i8, 0..;
        resource_name: Text, 0..;
        configs: Vec<IncrementalAlteration>, 0..;
    }

    /// A setting.
    pub struct IncrementalAlteration {
        name: Text, 0..;
        /// 0: set, 1: delete, 2: append to the list, 3: take out of the list.
        config_operation: i8, 0..;
        value: Option<Text>, 0..;
    }

    /// What became of it.
    pub struct IncrementalAlterConfigsResponse {
        throttle_time_ms: i32, 0..;
        responses: Vec<AlteredResource>, 0..;
    }

    /// What became of a resource's.
    pub struct AlteredResource {
        error_code: i16, 0..;
        error_message: Option<Text>, 0..;
        resource_type: i8, 0..;
        resource_name: Text, 0..;
    }

    /// Of what, and how.
    pub struct AlterConfigsRequest {
        resources: Vec<AlterConfigsResource>, 0..;
        validate_only: bool, 0..;
    }

    /// A resource.
    pub struct AlterConfigsResource {
        resource_type: i8, 0..;
        resource_name: Text, 0..;
        configs: Vec<Alteration>, 0..;
    }

    /// A setting.
    pub struct Alteration {
        name: Text, 0..;
        value: Option<Text>, 0..;
    }

    /// What became of it.
    pub struct AlterConfigsResponse {
        throttle_time_ms: i32, 0..;
        responses: Vec<AlteredResource>, 0..;
    }
}
