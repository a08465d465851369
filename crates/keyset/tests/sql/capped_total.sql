select count(*) filter (where keyset_hit), count(*) from (
    select keyset_hit as keyset_hit from (
        select * from (
            (
                select id, title, (rank) as keyset_key_1, (id) as keyset_key_2,
                    (((length(content) > 100) = ($3::boolean))) is true as keyset_hit
                from books
                where (library) = ($1::text) and (shelf) = ($2::text)
                order by keyset_key_1, keyset_key_2
                limit 10001
            )
        ) as page
        order by keyset_key_1, keyset_key_2
        limit 10001
    ) as rows
) as examined
