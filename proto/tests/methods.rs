use std::fs;

use prost::Message;
use prost_types::{FileDescriptorSet, MethodDescriptorProto};
use quire_proto::FILE_DESCRIPTOR_SET;

/// The return type of a method of a package's server trait, in the generated code.
fn returned(package: &str, method: &MethodDescriptorProto) -> String {
    let code = fs::read_to_string(format!("{}/{package}.rs", env!("OUT_DIR"))).unwrap();
    let (_, server) = code.split_once("pub trait ").unwrap();
    let name = format!("async fn {}(", snake(method.name()));
    let (_, signature) = server.split_once(&name).unwrap();
    let (_, returned) = signature.split_once("tonic::Response<").unwrap();
    returned.split(['>', ',']).next().unwrap().to_owned()
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
    MemoryService.StoreMemory -> StoreMemoryResponse
    MemoryService.BatchStoreMemories -> BatchStoreMemoriesResponse
    MemoryService.GetMemory -> GetMemoryResponse
    MemoryService.ListMemories -> EncodedPage
    MemoryService.UpdateMemory -> UpdateMemoryResponse
    MemoryService.DeleteMemory -> DeleteMemoryResponse
    MemoryService.RecallMemories -> RecallMemoriesResponse
    MeterService.RecordUsage -> RecordUsageResponse
    MeterService.ListUsage -> EncodedPage
    MeterService.SummarizeUsage -> EncodedPage
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
    PromptService.RemoveLabel -> RemoveLabelResponse
    PromptService.ListLabels -> EncodedPage
    PromptService.ListDeployments -> EncodedPage
    PromptService.ResolvePrompt -> ResolvePromptResponse
    RegistryService.RegisterAgent -> RegisterAgentResponse
    RegistryService.BatchRegisterAgents -> BatchRegisterAgentsResponse
    RegistryService.GetAgent -> GetAgentResponse
    RegistryService.ListAgents -> EncodedPage
    RegistryService.UpdateAgent -> UpdateAgentResponse
    RegistryService.DeregisterAgent -> DeregisterAgentResponse
    RegistryService.Heartbeat -> HeartbeatResponse
    RegistryService.DiscoverAgents -> EncodedPage
    ");
}
