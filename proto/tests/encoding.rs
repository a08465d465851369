use proptest::prelude::*;
use prost::{Message, bytes::BytesMut};
use quire_proto::pagination::v1::EncodedPage;

use crate::{page, rows::rows};

/// For each response: the response and an `EncodedPage` of the same rows encode to the same bytes, and each decodes
/// from the other's bytes.
macro_rules! same_bytes {
    ($($test:ident: $package:ident $response:ident { $rows:ident: $row:ident },)*) => {$(
        proptest! {
            #![proptest_config(ProptestConfig::with_cases(64))]
            #[test]
            fn $test(
                rows in rows(concat!(stringify!($package), ".v1.", stringify!($response))),
                page in page(),
            ) {
                use quire_proto::$package::v1::{$response, $row};

                let mut encoded = BytesMut::new();
                for row in &rows {
                    prost::encoding::message::encode(1, row, &mut encoded);
                }
                let encoded = EncodedPage { rows: encoded.freeze(), page: page.clone() };
                let typed = $response { $rows: rows.clone(), page: Some(page) };
                let bytes = typed.encode_to_vec();

                prop_assert_eq!(encoded.encoded_len(), bytes.len());
                prop_assert_eq!(encoded.encode_to_vec(), bytes.clone());
                prop_assert_eq!(&EncodedPage::decode(&*bytes).unwrap(), &encoded);
                prop_assert_eq!(encoded.rows::<$row>().unwrap(), rows);
                prop_assert_eq!($response::decode(&*encoded.encode_to_vec()).unwrap(), typed);
            }
        }
    )*};
}

same_bytes! {
    list_sessions: identity ListSessionsResponse { sessions: Session },
    list_api_keys: identity ListApiKeysResponse { api_keys: ApiKey },
    list_jobs: jobs ListJobsResponse { jobs: Job },
    list_job_events: jobs ListJobEventsResponse { events: JobEvent },
    list_memories: memory ListMemoriesResponse { memories: Memory },
    list_usage: meter ListUsageResponse { records: UsageRecord },
    summarize_usage: meter SummarizeUsageResponse { summaries: UsageSummary },
    list_prompts: prompts ListPromptsResponse { prompts: Prompt },
    list_prompt_versions: prompts ListPromptVersionsResponse { versions: PromptVersion },
    list_labels: prompts ListLabelsResponse { labels: Label },
    list_deployments: prompts ListDeploymentsResponse { deployments: Deployment },
    list_agents: registry ListAgentsResponse { agents: Agent },
    discover_agents: registry DiscoverAgentsResponse { agents: Agent },
}
