use prost::Message;
use prost_types::{FileDescriptorSet, MethodDescriptorProto};
use quire_proto::FILE_DESCRIPTOR_SET;

/// The server traits as they were generated.
const CODE: [(&str, &str); 6] = [
    ("identity.v1", include_str!(concat!(env!("OUT_DIR"), "/identity.v1.rs"))),
    ("jobs.v1", include_str!(concat!(env!("OUT_DIR"), "/jobs.v1.rs"))),
    ("memory.v1", include_str!(concat!(env!("OUT_DIR"), "/memory.v1.rs"))),
    ("meter.v1", include_str!(concat!(env!("OUT_DIR"), "/meter.v1.rs"))),
    ("prompts.v1", include_str!(concat!(env!("OUT_DIR"), "/prompts.v1.rs"))),
    ("registry.v1", include_str!(concat!(env!("OUT_DIR"), "/registry.v1.rs"))),
];

/// What a method of a package's server trait returns.
fn returned(package: &str, method: &MethodDescriptorProto) -> &'static str {
    let (_, code) = CODE.iter().find(|(of, _)| *of == package).unwrap();
    let (_, server) = code.split_once("pub trait ").unwrap();
    let name = format!("async fn {}(", snake(method.name()));
    let (_, signature) = server.split_once(&name).unwrap();
    let (_, returned) = signature.split_once("tonic::Response<").unwrap();
    returned.split(['>', ',']).next().unwrap()
}

fn snake(name: &str) -> String {
    let mut snake = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

#[test]
fn each_method_answers_with_a_page_or_with_its_own_response() {
    let mut lines = String::new();
    for file in FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap().file {
        for service in &file.service {
            for method in &service.method {
                let returned = returned(file.package(), method);
                let (_, returned) = returned.rsplit_once("::").unwrap();
                lines += &format!("{}.{} -> {returned}\n", service.name(), method.name());
            }
        }
    }
    insta::assert_snapshot!(lines, @"
    PromptService.CreatePrompt -> CreatePromptResponse
    PromptService.BatchCreatePrompts -> BatchCreatePromptsResponse
    PromptService.GetPrompt -> GetPromptResponse
    PromptService.ListPrompts -> EncodedPage
    PromptService.UpdatePrompt -> UpdatePromptResponse
    PromptService.DeletePrompt -> DeletePromptResponse
    PromptService.CreatePromptVersion -> CreatePromptVersionResponse
    PromptService.GetPromptVersion -> GetPromptVersionResponse
    PromptService.ListPromptVersions -> EncodedPage
    PromptService.AssignLabel -> AssignLabelResponse
    PromptService.ListLabels -> EncodedPage
    PromptService.ListDeployments -> EncodedPage
    PromptService.ResolvePrompt -> ResolvePromptResponse
    MemoryService.StoreMemory -> StoreMemoryResponse
    MemoryService.BatchStoreMemories -> BatchStoreMemoriesResponse
    MemoryService.GetMemory -> GetMemoryResponse
    MemoryService.ListMemories -> EncodedPage
    MemoryService.UpdateMemory -> UpdateMemoryResponse
    MemoryService.DeleteMemory -> DeleteMemoryResponse
    MemoryService.RecallMemories -> EncodedPage
    RegistryService.RegisterAgent -> RegisterAgentResponse
    RegistryService.BatchRegisterAgents -> BatchRegisterAgentsResponse
    RegistryService.GetAgent -> GetAgentResponse
    RegistryService.ListAgents -> EncodedPage
    RegistryService.UpdateAgent -> UpdateAgentResponse
    RegistryService.DeregisterAgent -> DeregisterAgentResponse
    RegistryService.Heartbeat -> HeartbeatResponse
    RegistryService.DiscoverAgents -> EncodedPage
    MeterService.RecordUsage -> RecordUsageResponse
    MeterService.ListUsage -> EncodedPage
    MeterService.SummarizeUsage -> EncodedPage
    IdentityService.CreateSession -> CreateSessionResponse
    IdentityService.RefreshSession -> RefreshSessionResponse
    IdentityService.GetSession -> GetSessionResponse
    IdentityService.ListSessions -> EncodedPage
    IdentityService.RevokeSession -> RevokeSessionResponse
    IdentityService.RevokeSessions -> RevokeSessionsResponse
    IdentityService.CreateApiKey -> CreateApiKeyResponse
    IdentityService.ListApiKeys -> EncodedPage
    IdentityService.RevokeApiKey -> RevokeApiKeyResponse
    JobService.CreateJob -> CreateJobResponse
    JobService.BatchCreateJobs -> BatchCreateJobsResponse
    JobService.GetJob -> GetJobResponse
    JobService.ListJobs -> EncodedPage
    JobService.DeleteJob -> DeleteJobResponse
    JobService.RetryJob -> RetryJobResponse
    JobService.AppendJobEvents -> AppendJobEventsResponse
    JobService.ListJobEvents -> EncodedPage
    JobService.GetQueueStats -> GetQueueStatsResponse
    ");
}
