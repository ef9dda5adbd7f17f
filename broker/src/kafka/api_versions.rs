//! What this broker speaks of Kafka's protocol.

use wire::kafka::{
    ApiKey, ApiVersion, ApiVersionsRequest, ApiVersionsResponse, ErrorCode, WrittenFrame, encode_response,
};

/// The first version in which a client says which software it is.
const SOFTWARE_FROM: i16 = 3;

/// An API that is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServedApi {
    pub key: ApiKey,
    /// The oldest version that clients are told of, and the oldest that is served.
    pub told_from: i16,
    pub from: i16,
    pub to: i16,
}

const fn served(key: ApiKey) -> ServedApi {
    let (from, to) = key.versions();
    ServedApi { key, told_from: from, from, to }
}

/// Every API that is served. What is not here clients do not call.
pub const SERVED: &[ServedApi] = &[
    // librdkafka takes a broker without Produce 0 for one that knows no compression (KAFKA-18659). Kafka 4 tells the same, and
    // serves none below 3 either.
    ServedApi { told_from: 0, ..served(ApiKey::Produce) },
    served(ApiKey::Fetch),
    served(ApiKey::ListOffsets),
    served(ApiKey::Metadata),
    served(ApiKey::OffsetCommit),
    served(ApiKey::OffsetFetch),
    served(ApiKey::FindCoordinator),
    served(ApiKey::JoinGroup),
    served(ApiKey::Heartbeat),
    served(ApiKey::LeaveGroup),
    served(ApiKey::SyncGroup),
    served(ApiKey::DescribeGroups),
    served(ApiKey::ListGroups),
    served(ApiKey::ApiVersions),
    served(ApiKey::CreateTopics),
    served(ApiKey::DeleteTopics),
    served(ApiKey::DeleteRecords),
    served(ApiKey::InitProducerId),
    served(ApiKey::OffsetForLeaderEpoch),
    served(ApiKey::DescribeConfigs),
    served(ApiKey::AlterConfigs),
    served(ApiKey::DescribeLogDirs),
    served(ApiKey::CreatePartitions),
    served(ApiKey::DeleteGroups),
    served(ApiKey::IncrementalAlterConfigs),
    served(ApiKey::ListPartitionReassignments),
    served(ApiKey::OffsetDelete),
    served(ApiKey::DescribeCluster),
    served(ApiKey::DescribeProducers),
    served(ApiKey::ConsumerGroupHeartbeat),
    served(ApiKey::ConsumerGroupDescribe),
    served(ApiKey::DescribeTopicPartitions),
];

/// Whether an API is served in this version.
pub(super) fn is_served(key: ApiKey, version: i16) -> bool {
    SERVED.iter().any(|api| api.key == key && (api.from..=api.to).contains(&version))
}

fn response(code: ErrorCode) -> ApiVersionsResponse {
    let told = |api: &ServedApi| ApiVersion {
        api_key: api.key.number(),
        min_version: api.told_from,
        max_version: api.to,
    };
    ApiVersionsResponse {
        error_code: code.number(),
        api_keys: SERVED.iter().map(told).collect(),
        ..Default::default()
    }
}

/// Answers. A client that does not say properly who it is has a bug that others would have to live with (KIP-511).
pub(super) fn answer(request: &ApiVersionsRequest, version: i16) -> ApiVersionsResponse {
    let names = [&request.client_software_name, &request.client_software_version];
    match version >= SOFTWARE_FROM && !names.into_iter().all(|name| is_software_name(name.as_str())) {
        true => ApiVersionsResponse { error_code: ErrorCode::InvalidRequest.number(), ..Default::default() },
        false => response(ErrorCode::None),
    }
}

/// Kafka's rule: letters and digits, with `-` and `.` between.
fn is_software_name(name: &str) -> bool {
    let ends = [name.bytes().next(), name.bytes().next_back()];
    ends.iter().all(|end| end.is_some_and(|byte| byte.is_ascii_alphanumeric()))
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'))
}

/// The answer to a version that nobody knows: in the form of version 0, which every client reads, with the versions that are
/// served (KIP-511).
pub(super) fn unknown_version(correlation_id: i32) -> WrittenFrame {
    encode_response::<wire::kafka::ApiVersions>(0, correlation_id, &response(ErrorCode::UnsupportedVersion))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_says_who_it_is() {
        for (name, good) in [
            ("librdkafka", true),
            ("apache-kafka-java", true),
            ("2.12.1", true),
            ("x", true),
            ("", false),
            ("-a", false),
            ("a b", false),
        ] {
            assert_eq!(is_software_name(name), good, "{name:?}");
        }
    }

    /// Who has the document has no code.
    #[test]
    fn the_compatibility_document_has_what_is_served_and_nothing_else() {
        let document = include_str!("../../../docs/kafka-compatibility.md");
        let table = document.lines().skip_while(|line| !line.starts_with('|'));
        let rows = table.take_while(|line| line.starts_with('|')).skip(2);
        let rows: Vec<String> =
            rows.map(|row| row.split('|').take(4).collect::<Vec<_>>().join("|")).collect();
        let served: Vec<String> = SERVED
            .iter()
            .map(|api| format!("| {:?} | {} | {}-{} ", api.key, api.key.number(), api.from, api.to))
            .collect();
        let mut sorted = SERVED.to_vec();
        sorted.sort_by_key(|api| api.key);
        assert_eq!(sorted, SERVED, "in the order of their numbers");
        assert_eq!(rows, served);
    }

    #[test]
    fn versions_that_are_told_are_served_but_for_the_oldest_of_produce() {
        for api in SERVED {
            assert!(is_served(api.key, api.from) && is_served(api.key, api.to));
            assert!(!is_served(api.key, api.to + 1));
            assert!(api.told_from == api.from || api.key == ApiKey::Produce);
        }
    }
}
