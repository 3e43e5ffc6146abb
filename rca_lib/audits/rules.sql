-- How a cell is read. v: the trimmed text of a cell; day_first: whether days stand before months; epoch: day 0 of
-- serial dates; mark: the decimal mark. Patterns are literals, so that they are compiled once and not once a row.
-- Before this file rca_lib.audits.rules makes spell(v), is_set(), words(name) and zone_of(site) from the mapping.

create macro clean(v) as case
    when left(v, 1) <= ' ' or right(v, 1) <= ' ' or left(v, 1) = chr(160) or right(v, 1) = chr(160)
    then nullif(trim(v, ' ' || chr(9) || chr(10) || chr(13) || chr(160)), '') else v end;

-- Takes back the apostrophe that escape_formula gave, when a quarantine file is fed again.
create macro unescape_formula(v) as regexp_replace(v, '^''(''*[=+@\t\r-])', '\1');
create macro escape_formula(v) as case
    when regexp_matches(v, '^''*[=+@\t\r-]') and not regexp_matches(v, '^[+-]?\d+([.,]\d+)?([eE][+-]?\d+)?$') then '''' || v
    else v end;

create macro year_stands_first(v) as substr(v, 5, 1) in ('-', '/', '.') and try_cast(left(v, 4) as integer) is not null;
create macro serial(v) as case when length(v) >= 5 and substr(v, 6, 1) in ('', '.', ',') then
    try_cast(replace(v, ',', '.') as double) end;
create macro is_serial(v) as coalesce(serial(v) between 20000 and 80000, false);
create macro is_day_only(v) as not contains(v, ':') and (not is_serial(v) or serial(v) = floor(serial(v)));
create macro has_offset(v) as contains(v, ':') and (right(v, 1) = 'Z' or right(v, 3) in ('UTC', 'GMT')
    or regexp_matches(right(v, 7), ':?\d{0,2}[. ]?\d* ?[+-]\d{2}(:?\d{2})?$'));
create macro is_two_numbers(v) as regexp_matches(v, '^\d{1,2}[-/.]\d{1,2}[-/.]\d{2}');
create macro first_number(v) as try_cast(regexp_extract(v, '^\d{1,2}') as integer);
create macro second_number(v) as try_cast(regexp_extract(v, '^\d{1,2}[-/.](\d{1,2})', 1) as integer);

create macro with_slashes(v) as regexp_replace(v, '^(\d{1,2})[-.](\d{1,2})[-.]', '\1/\2/');
create macro in_this_century(t) as case when year(t) < 100 then t + interval 2000 years else t end;
create macro wall_clock(v, day_first, epoch) as case
    when year_stands_first(v) and regexp_matches(v, '^[\d/:,T -]+(\.\d+)?$') then
        try_cast(replace(replace(v, ',', '.'), '/', '-') as timestamp)
    when year_stands_first(v) then try_strptime(v, [
        '%Y-%m-%d %I:%M:%S %p', '%Y-%m-%d %I:%M %p', '%Y.%m.%d %H:%M:%S', '%Y.%m.%d %H:%M', '%Y.%m.%d'])
    when is_serial(v) then epoch + to_seconds(round(serial(v) * 86400)::bigint)
    when is_two_numbers(v) and day_first then in_this_century(try_strptime(with_slashes(v), ['%d/%m/%Y %H:%M:%S', '%d/%m/%Y %H:%M',
        '%d/%m/%Y', '%d/%m/%Y %H:%M:%S.%f', '%d/%m/%YT%H:%M:%S', '%d/%m/%Y %I:%M:%S %p', '%d/%m/%Y %I:%M %p']))
    when is_two_numbers(v) then in_this_century(try_strptime(with_slashes(v), ['%m/%d/%Y %H:%M:%S', '%m/%d/%Y %H:%M',
        '%m/%d/%Y', '%m/%d/%Y %H:%M:%S.%f', '%m/%d/%YT%H:%M:%S', '%m/%d/%Y %I:%M:%S %p', '%m/%d/%Y %I:%M %p']))
    else try_strptime(v, ['%d %b %Y %H:%M:%S', '%d %b %Y %H:%M', '%d %b %Y', '%d %B %Y %H:%M:%S', '%d %B %Y %H:%M',
        '%d %B %Y', '%b %d, %Y %H:%M:%S', '%b %d, %Y %H:%M', '%b %d, %Y', '%B %d, %Y', '%Y%m%d%H%M%S', '%Y%m%d'])
    end;

-- UTC: by the offset that stands there; a day alone begins at the site's midnight; else by the file's zone.
create macro moment(v, day_first, epoch, zone, site_zone) as case
    when has_offset(v) then timezone('UTC', try_cast(regexp_replace(regexp_replace(
        v, '\s*(Z|UTC|GMT)$', '+00'), '\s+([+-]\d{2}(:?\d{2})?)$', '\1') as timestamptz))
    else timezone('UTC', timezone(case when is_day_only(v) then site_zone else zone end, wall_clock(v, day_first, epoch))) end;

create macro plain_number(v, mark) as replace(replace(replace(
    rtrim(v, ' %'), case when mark = ',' then '.' else ',' end, ''), chr(160), ''), mark, '.');
create macro is_number(v) as regexp_matches(v, '^[+-]?[\d.,]*\d[\d.,]*([eE][+-]?\d+)?\s*%?$');
create macro number(v, mark, per_cent) as case when is_number(v) then
    try_cast(plain_number(v, mark) as double) / case when per_cent or contains(v, '%') then 100 else 1 end end;
create macro whole(v, mark) as case when number(v, mark, false) = floor(number(v, mark, false))
    then number(v, mark, false)::bigint end;
create macro duration(v, mark) as case
    when regexp_matches(v, '^-?\d+:\d{2}$') then case when v[1] = '-' then -1 else 1 end
        * (ltrim(split_part(v, ':', 1), '-')::double * 60 + split_part(v, ':', 2)::double)
    when regexp_matches(v, '^\d+:\d{2}:\d{2}$') then
        split_part(v, ':', 1)::double * 3600 + split_part(v, ':', 2)::double * 60 + split_part(v, ':', 3)::double
    else number(v, mark, false) end;

-- What proves the decimal mark (a part that is no group of thousands), and what looks like thousands and proves nothing.
create macro proves_point(v) as contains(v, '.') and regexp_matches(
        v, '^[+-]?(\d*\.(\d{1,2}|\d{4,})|0*\.\d+|\d{4,}\.\d+|\d{1,3}(,\d{3})+\.\d+)\s*%?$')
    or contains(v, ',') and regexp_matches(v, '^[+-]?\d{1,3}(,\d{3}){2,}\s*%?$');
create macro proves_comma(v) as contains(v, ',') and regexp_matches(
        v, '^[+-]?(\d*,(\d{1,2}|\d{4,})|0*,\d+|\d{4,},\d+|\d{1,3}(\.\d{3})+,\d+)\s*%?$')
    or contains(v, '.') and regexp_matches(v, '^[+-]?\d{1,3}(\.\d{3}){2,}\s*%?$');
create macro proves_no_mark(v) as regexp_matches(v, '^[+-]?[1-9]\d{0,2}[.,]\d{3}\s*%?$');

create macro flag(v) as case when lower(v) in ('true', 't', 'yes', 'y', '1', '1.0') then true
    when lower(v) in ('false', 'f', 'no', 'n', '0', '0.0') then false end;
create macro known_word(v) as replace(replace(lower(v), ' ', '_'), '-', '_');
create macro tidy_id(v) as case when ends_with(v, '.0') then regexp_replace(v, '^(\d+)\.0$', '\1') else v end;
create macro is_destroyed(v) as contains(upper(v), 'E+') and regexp_matches(v, '^[+-]?\d([.,]\d+)?[eE]\+\d+$');
create macro is_footer(v) as regexp_matches(v, '(?i)^(grand |sub)?-?(totals?|sum|summe|gesamt|count|average|mean|rows?)\b[ :=]*[\d.,]*$');
create macro part_of_day(hour) as case
    when hour >= 6 and hour < 14 then 'early' when hour >= 14 and hour < 22 then 'late' else 'night' end;

-- Labels as the mapping spells them; a set of labels in alphabetical order, nothing where one of them is not known.
create macro parts(v) as list_transform(regexp_split_to_array(v, '\s*[;|,]\s*'), lambda part: spell(part));
create macro spell_set(v) as case when len(list_filter(parts(v), lambda part: part is null)) = 0
    then array_to_string(list_sort(list_distinct(parts(v))), '|') end;
create macro label_of(v) as case when is_set() then spell_set(v) else spell(v) end;
create macro known(v, name) as case when list_contains(words(name), known_word(v)) then known_word(v) end;

-- The three words nearest to one that is not known: offered, never taken.
create macro nearest(v, value, name) as case when v is not null and value is null and len(words(name)) > 0 then
    array_to_string(list_transform(list_sort(list_transform(words(name),
        lambda k: {'far': -jaro_winkler_similarity(lower(k), lower(v)), 'word': k}))[1:3], lambda k: k.word), ', ') end;

create macro order_of(v) as case when is_two_numbers(v) then case
    when first_number(v) > 12 then 'dmy' when second_number(v) > 12 then 'mdy' else 'either' end end;
create macro mark_of(v) as case
    when proves_point(v) then '.' when proves_comma(v) then ',' when proves_no_mark(v) then 'either' end;
create macro as_score(v) as try_cast(replace(v, ',', '.') as double);
create macro unit_of(name, v) as case
    when contains(v, '%') then 'percent' when name <> 'model_score' then 'share'
    when as_score(v) > 1 and as_score(v) <= 100 then 'percent' when as_score(v) > 0 and as_score(v) < 1 then 'share' end;
