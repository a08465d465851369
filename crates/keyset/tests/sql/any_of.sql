select * from (
    (
        select looked_up.* from (select distinct unnest($2::text[]) collate "C" as value) as keyset_lookup_1
        cross join lateral (
            select * from (
                select id, title, (rank) as keyset_key_1, (id) as keyset_key_2
                from books
                where (library) = ($1::text) and (shelf) = keyset_lookup_1.value
                order by keyset_key_1, keyset_key_2
                limit 201
            ) as leaf
            limit $3
        ) as looked_up
    )
) as page
order by keyset_key_1, keyset_key_2
limit $3
/* types 397ae0d2 */
