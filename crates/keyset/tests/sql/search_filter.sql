with keyset_examined as materialized (
    select rows.*, row_number() over (order by keyset_key_1, keyset_key_2) as keyset_position
    from (
        select * from (
            (
                select id, title, (rank) as keyset_key_1, (id) as keyset_key_2,
                    ((to_tsvector('simple', content) @@ to_tsquery('simple', ($2::text)))) is true as keyset_hit
                from books
                where (library) = ($1::text)
                order by keyset_key_1, keyset_key_2
                limit 2000
            )
        ) as page
        order by keyset_key_1, keyset_key_2
        limit $3
    ) as rows
), keyset_found as materialized (
    select books.* from books
    where (library) = ($1::text) and (to_tsvector('simple', content) @@ to_tsquery('simple', ($2::text)))
    limit 2000 + 1
), keyset_choice as materialized (
    select case
        when (select count(*) from keyset_examined where keyset_hit) >= $4 then false
        when (select count(*) from keyset_examined) < $3 then false
        else (select count(*) from keyset_found) <= 2000
    end as is_found
)
select * from (
    select * from keyset_examined
    where (keyset_hit or keyset_position = $3) and not (select is_found from keyset_choice)
    union all
    select found.*, 0 as keyset_position
    from (
        select * from (
            (
                select id, title, (rank) as keyset_key_1, (id) as keyset_key_2,
                    ((to_tsvector('simple', content) @@ to_tsquery('simple', ($2::text)))) is true as keyset_hit
                from keyset_found as books
                where (library) = ($1::text)
                order by keyset_key_1, keyset_key_2
                limit 2000
            )
        ) as page
        order by keyset_key_1, keyset_key_2
        limit 2000
    ) as found
    where keyset_hit and (select is_found from keyset_choice)
) as page
order by keyset_key_1, keyset_key_2
limit $4
/* types 397ae0d2 */
