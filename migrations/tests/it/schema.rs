//! `schema.sql` says what the numbered files together make.

use testkit::postgres::Client;

/// What the catalogs say of everything in the schema, line by line, in an order of its own.
const CATALOG: &str = "
    SELECT format(
        'table %s %s persistence=%s',
        c.relname, coalesce(array_to_string(c.reloptions, ','), ''), c.relpersistence
    )
    FROM pg_class c
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'v', 'm', 'p')
    UNION ALL
    SELECT format('view %s %s', v.viewname, v.definition)
    FROM pg_views v
    WHERE v.schemaname = 'public'
    UNION ALL
    SELECT format('sequence %s', row_to_json(s))
    FROM pg_sequences s
    WHERE s.schemaname = 'public'
    UNION ALL
    SELECT format(
        'column %s.%s %s %s %s identity=%s generated=%s statistics=%s storage=%s',
        c.relname, a.attname, format_type(a.atttypid, a.atttypmod),
        CASE WHEN a.attnotnull THEN 'NOT NULL' ELSE 'NULL' END,
        coalesce(pg_get_expr(d.adbin, d.adrelid), ''), a.attidentity, a.attgenerated,
        coalesce(a.attstattarget, -1), a.attstorage
    )
    FROM pg_attribute a
    JOIN pg_class c ON c.oid = a.attrelid AND c.relkind = 'r'
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE c.relnamespace = 'public'::regnamespace AND a.attnum > 0 AND NOT a.attisdropped
    UNION ALL
    SELECT format('constraint %s %s %s', k.conrelid::regclass, k.conname, pg_get_constraintdef(k.oid))
    FROM pg_constraint k
    WHERE k.connamespace = 'public'::regnamespace
    UNION ALL
    SELECT format('index %s', i.indexdef) FROM pg_indexes i WHERE i.schemaname = 'public'
    UNION ALL
    SELECT format('trigger %s', pg_get_triggerdef(t.oid)) FROM pg_trigger t WHERE NOT t.tgisinternal
    UNION ALL
    SELECT format('function %s', pg_get_functiondef(p.oid))
    FROM pg_proc p
    WHERE p.pronamespace = 'public'::regnamespace
        AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.objid = p.oid AND e.deptype = 'e')
    UNION ALL
    SELECT format('extension %s', x.extname) FROM pg_extension x
    ORDER BY 1";

async fn catalog(client: &Client) -> Vec<String> {
    let rows = client.query(CATALOG, &[]).await.unwrap();
    rows.iter()
        .map(|row| row.try_get(0).unwrap())
        .filter(|line: &String| !line.contains("schema_migrations"))
        .collect()
}

#[tokio::test]
async fn schema_sql_is_what_the_migrations_make() {
    let migrated = testkit::postgres::database().await;
    let loaded = testkit::postgres::empty_database().await;
    let client = loaded.client().await;
    client
        .batch_execute(include_str!("../../schema.sql"))
        .await
        .unwrap();
    let (made, said) = (
        catalog(&migrated.client().await).await,
        catalog(&client).await,
    );
    assert!(made.len() > 100, "{} lines", made.len());
    assert_eq!(made, said);

    // What schema.sql lacks is noticed.
    client
        .batch_execute("ALTER TABLE chats ADD COLUMN planted integer")
        .await
        .unwrap();
    assert_ne!(catalog(&client).await, said);
}
