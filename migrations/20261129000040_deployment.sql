-- What the servers of this database have in common. It has one row.
do $$ begin

create table deployment (
    is_this bool primary key default true check (is_this),
    -- The audience of access tokens.
    audience text not null check (octet_length(audience) between 1 and 128)
);

insert into deployment (audience) values ('quire:' || gen_random_uuid());

end $$;
