-- For the foreign key: deleting a prompt looks for the labels of each of its versions.
create index labels_version on labels (workspace_id, prompt_id, version);
