select * from (
    (
        select id, title, title as keyset_key_1, id as keyset_key_2
        from books
        where library = $1 and title < $3 and (title, id) > ($4::text, $5::bigint)
        order by keyset_key_1, keyset_key_2
        limit 201
    )
) as page
order by keyset_key_1, keyset_key_2
limit $6
