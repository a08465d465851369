select * from (
    select rows.*, row_number() over (order by keyset_key_1, keyset_key_2) as keyset_position
    from (
        with keyset_found as materialized (
            select books.*
            from books
            where (library) = ($1::text) and (to_tsvector('simple', content) @@ to_tsquery('simple', ($2::text)))
            limit 2001
        )
        select * from (
            (
                select * from (
                    select id, title, (rank) as keyset_key_1, (id) as keyset_key_2,
                        ((to_tsvector('simple', content) @@ to_tsquery('simple', ($2::text)))) is true as keyset_hit
                    from keyset_found as books
                    where (select count(*) from keyset_found) <= 2000 and (library) = ($1::text)
                    order by keyset_key_1, keyset_key_2
                    limit 2000
                ) as leaf
                limit $3
            ) union all (
                select * from (
                    select id, title, (rank) as keyset_key_1, (id) as keyset_key_2,
                        ((to_tsvector('simple', content) @@ to_tsquery('simple', ($2::text)))) is true as keyset_hit
                    from books
                    where (select count(*) from keyset_found) > 2000 and (library) = ($1::text)
                    order by keyset_key_1, keyset_key_2
                    limit 2000
                ) as leaf
                limit $3
            )
        ) as page
        order by keyset_key_1, keyset_key_2
        limit $3
    ) as rows
) as examined
where keyset_hit or keyset_position = $3
order by keyset_key_1, keyset_key_2
limit $4
