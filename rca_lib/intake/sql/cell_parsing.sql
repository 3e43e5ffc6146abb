-- Macros that parse the text of a cell. timestamp_parsing.sql has those for timestamps, number_parsing.sql those for numbers.
-- v: the trimmed text of a cell. day_first: whether days precede months. date_origin: day 0 of serial dates. Patterns are
-- literals, so that they are compiled once and not once per row. rca_lib.intake.cell_cleaning first creates
-- allowed_values(name) and get_site_time_zone(site) from the mapping.

create macro trim_cell(v) as case
    when left(v, 1) <= ' ' or right(v, 1) <= ' ' or left(v, 1) = chr(160) or right(v, 1) = chr(160)
    then nullif(trim(v, ' ' || chr(9) || chr(10) || chr(13) || chr(160)), '') else v end;

create macro parse_boolean(v) as case when lower(v) in ('true', 't', 'yes', 'y', '1', '1.0') then true
    when lower(v) in ('false', 'f', 'no', 'n', '0', '0.0') then false end;
create macro normalize_keyword(v) as replace(replace(lower(v), ' ', '_'), '-', '_');
create macro strip_id_decimal(v) as case when ends_with(v, '.0') then regexp_replace(v, '^(\d+)\.0$', '\1') else v end;
create macro is_scientific_notation(v) as contains(upper(v), 'E+') and regexp_matches(v, '^[+-]?\d([.,]\d+)?[eE]\+\d+$');
create macro is_total_row(v) as regexp_matches(v, '(?i)^(grand |sub)?-?(totals?|sum|summe|gesamt|count|average|mean|rows?)\b[ :=]*[\d.,]*$');
create macro part_of_day(hour) as case
    when hour >= 6 and hour < 14 then 'early' when hour >= 14 and hour < 22 then 'late' else 'night' end;

create macro parse_keyword(v, name) as case when list_contains(allowed_values(name), normalize_keyword(v)) then normalize_keyword(v) end;

-- The three allowed values most similar to an unknown one: suggested, never used.
create macro suggest_values(v, value, name) as case when v is not null and value is null and len(allowed_values(name)) > 0 then
    array_to_string(list_transform(list_sort(list_transform(allowed_values(name),
        lambda k: {'distance': -jaro_winkler_similarity(lower(k), lower(v)), 'word': k}))[1:3], lambda k: k.word), ', ') end;

create macro parse_score(v) as try_cast(replace(v, ',', '.') as double);
create macro infer_percent_unit(name, v) as case
    when contains(v, '%') then 'percent' when name <> 'model_score' then 'share'
    when parse_score(v) > 1 and parse_score(v) <= 100 then 'percent' when parse_score(v) > 0 and parse_score(v) < 1 then 'share' end;
