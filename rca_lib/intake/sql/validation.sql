-- The values of each row, the repairs in it, and the reasons to quarantine it. For every column of audits the view
-- `standardized_rows` has the text t_<name>, null if the source has none, and the table `validated_rows` has the value <name>.
create macro is_unparsed(v, value) as v is not null and value is null;
-- A short row is padded. If it lacks a required cell, it is malformed.
create macro is_malformed_row(issue, lacks_required) as issue is not null and issue <> 'the header line again'
    and (not starts_with(issue, 'kept: ') or lacks_required and starts_with(issue, 'kept: short'));
create macro reason(test, name) as case when test then name end;
create macro parse_site_timestamp(v, site) as parse_timestamp(v, day_first(), date_origin(), file_time_zone(), get_site_time_zone(site));
-- A sampling probability becomes the weight 1 / probability. A value that is not a probability stays as it is.
create macro convert_to_weight(w) as case when is_probability() and w > 0 and w <= 1 then 1 / w else w end;

create view parsed_rows as select
    *,
    columns('^t_(audit_id|item_id|site|rater|vendor|queue|stratum|market|language|policy|auditor|policy_version_decided'
        || '|policy_version_audited|action|true_action|content_type|team|hiring_class|cause_code|cause_coder|cause2_code'
        || '|cause2_coder|comment)$') as '\1',
    parse_site_timestamp(t_decided_at, t_site) as decided_at,
    parse_site_timestamp(t_audited_at, t_site) as audited_at,
    parse_keyword(t_workflow, 'workflow') as workflow,
    parse_keyword(t_stream, 'stream') as stream,
    parse_keyword(t_severity, 'severity') as severity,
    parse_keyword(t_dispute, 'dispute') as dispute,
    parse_keyword(t_appeal, 'appeal') as appeal,
    convert_to_weight(parse_number(t_weight, decimal_mark(), is_probability() and is_percent())) as weight,
    parse_number(t_model_score, decimal_mark(), is_percent()) as model_score,
    parse_integer(t_audit_round, decimal_mark()) as audit_round,
    parse_integer(t_tenure_days, decimal_mark()) as tenure_days,
    parse_duration(t_handle_seconds, decimal_mark()) as handle_seconds,
    parse_boolean(t_blind) as blind,
    timezone(get_site_time_zone(t_site), timezone('UTC', parse_site_timestamp(t_decided_at, t_site))) as local_time
from standardized_rows;

create table validated_rows as select
    columns(lambda name: not regexp_matches(name, '^(t_.*|id_had_decimal|first_nonempty|local_time|cleaning_repairs)$')),
    first_nonempty is null as is_empty,
    local_time::date as day,
    (label <> truth)::tinyint as error,
    case when tenure_days <= 30 then '0-30 days' when tenure_days <= 90 then '31-90 days'
        when tenure_days <= 365 then '91-365 days' when tenure_days > 365 then 'over 365 days' end as tenure,
    case when not derives_shift() then t_shift
        when not is_day_only(t_decided_at) then part_of_day(hour(local_time)) end as shift,
    coalesce(
        suggest_values(t_label, label, 'label'), suggest_values(t_truth, truth, 'label'), suggest_values(t_model_label, model_label, 'label'),
        suggest_values(t_workflow, workflow, 'workflow'), suggest_values(t_stream, stream, 'stream'),
        suggest_values(t_severity, severity, 'severity'), suggest_values(t_dispute, dispute, 'dispute'),
        suggest_values(t_appeal, appeal, 'appeal')) as nearest_values,
    case when is_unparsed(t_decided_at, decided_at) then t_raw_decided_at when is_unparsed(t_audited_at, audited_at) then t_raw_audited_at
        when is_unparsed(t_weight, weight) then t_raw_weight when is_unparsed(t_model_score, model_score) then t_raw_model_score
        when is_unparsed(t_audit_round, audit_round) then t_raw_audit_round when is_unparsed(t_tenure_days, tenure_days) then t_raw_tenure_days
        when is_unparsed(t_handle_seconds, handle_seconds) then t_raw_handle_seconds end as unparsed_text,
    list_concat(cleaning_repairs, list_filter([
        reason(starts_with(record_issue, 'kept: '), regexp_extract(record_issue, '^kept: ([^;]*)', 1)),
        reason(id_had_decimal, 'ids with .0'),
        reason(is_serial_date(t_decided_at) or is_serial_date(t_audited_at), 'serial dates, day 0 is ' || date_origin()::date),
        reason(is_unix_time(t_raw_decided_at) or is_unix_time(t_raw_audited_at), 'Unix timestamps, counted from 1970 in UTC'),
        reason(has_zone_name(t_raw_decided_at) or has_zone_name(t_raw_audited_at), 'time zone names such as PST, read by their usual offset'),
        reason(is_day_only(t_decided_at) or is_day_only(t_audited_at), 'days without a time, read as midnight at the site'),
        reason(is_date_order_inferred() and (is_numeric_date(t_decided_at) or is_numeric_date(t_audited_at)),
            'order of day and month, inferred from other dates'),
        reason(contains(t_handle_seconds, ':'), 'mm:ss durations'),
        reason(regexp_matches(t_handle_seconds, '[a-zA-Z]'), 'durations with units'),
        reason(t_raw_weight <> t_weight or t_raw_model_score <> t_model_score or t_raw_handle_seconds <> t_handle_seconds
            or t_raw_tenure_days <> t_tenure_days, 'blanks or apostrophes in numbers'),
        reason(contains(t_model_score, '%') or contains(t_weight, '%'), 'percent signs'),
        reason(decimal_mark() = ',' and (contains(t_weight, ',') or contains(t_model_score, ',') or contains(t_handle_seconds, ',')),
            'decimal commas'),
        reason(t_site is not null and not has_site_time_zone(t_site), 'sites not in site_time_zones, read in the file''s zone')
    ], lambda what: what is not null)) as repairs,
    list_filter([
        reason(is_total_row(first_nonempty) and (t_audit_id is null)::int + (t_item_id is null)::int + (t_site is null)::int
            + (t_rater is null)::int + (t_decided_at is null)::int + (t_label is null)::int + (t_truth is null)::int >= 2,
            'footer total'),
        reason(record_issue = 'the header line again', 'repeated header'),
        reason(is_malformed_row(record_issue, t_audit_id is null or t_item_id is null or t_site is null or t_rater is null
            or t_decided_at is null or t_label is null or t_truth is null), 'line the CSV reader rejects'),
        reason(t_audit_id is null, 'missing audit_id'),
        reason(t_item_id is null, 'missing item_id'),
        reason(t_site is null, 'missing site'),
        reason(t_rater is null, 'missing rater'),
        reason(t_decided_at is null, 'missing decided_at'),
        reason(t_label is null, 'missing label'),
        reason(t_truth is null, 'missing truth'),
        reason(is_scientific_notation(t_audit_id), 'id destroyed by a spreadsheet (audit_id)'),
        reason(is_scientific_notation(t_item_id), 'id destroyed by a spreadsheet (item_id)'),
        reason(is_scientific_notation(t_rater), 'id destroyed by a spreadsheet (rater)'),
        reason(is_scientific_notation(t_auditor), 'id destroyed by a spreadsheet (auditor)'),
        reason(is_unparsed(t_decided_at, decided_at), 'unparseable date (decided_at)'),
        reason(decided_at < timestamp '1990-01-01', 'date before 1990 (decided_at)'),
        reason(decided_at > latest_allowed_time(), 'future date (decided_at)'),
        reason(is_unparsed(t_audited_at, audited_at), 'unparseable date (audited_at)'),
        reason(audited_at < timestamp '1990-01-01', 'date before 1990 (audited_at)'),
        reason(audited_at > latest_allowed_time(), 'future date (audited_at)'),
        reason(is_unparsed(t_label, label), 'label not in the map (label)'),
        reason(is_unparsed(t_truth, truth), 'label not in the map (truth)'),
        reason(is_unparsed(t_model_label, model_label), 'label not in the map (model_label)'),
        reason(is_unparsed(t_workflow, workflow), 'value not known (workflow)'),
        reason(is_unparsed(t_stream, stream), 'value not known (stream)'),
        reason(is_unparsed(t_severity, severity), 'value not known (severity)'),
        reason(is_unparsed(t_dispute, dispute), 'value not known (dispute)'),
        reason(is_unparsed(t_appeal, appeal), 'value not known (appeal)'),
        reason(is_unparsed(t_blind, blind), 'value not known (blind)'),
        reason(is_unparsed(t_weight, weight), 'not a number (weight)'),
        reason(is_unparsed(t_model_score, model_score), 'not a number (model_score)'),
        reason(is_unparsed(t_audit_round, audit_round), 'not a number (audit_round)'),
        reason(audit_round < 1, 'audit_round below 1'),
        reason(is_unparsed(t_tenure_days, tenure_days), 'not a number (tenure_days)'),
        reason(is_unparsed(t_handle_seconds, handle_seconds), 'not a number (handle_seconds)'),
        reason(tenure_days < 0, 'negative tenure_days'),
        reason(handle_seconds < 0, 'negative handle_seconds'),
        reason(weight <= 0, 'weight not above 0'),
        reason(is_probability() and parse_number(t_weight, decimal_mark(), is_percent()) > 1, 'probability above 1 (weight)'),
        reason(weight > 1e12 or weight > 0 and weight < 1e-12, 'number out of range (weight)'),
        reason(abs(handle_seconds) > 1e9, 'number out of range (handle_seconds)'),
        reason(abs(tenure_days) > 1e6, 'number out of range (tenure_days)'),
        reason(audit_round < 0 or audit_round > 1e6, 'number out of range (audit_round)'),
        reason(abs(model_score) > 1e12, 'number out of range (model_score)'),
        reason(audited_at + case when is_day_only(t_audited_at) then interval 1 day else interval 1 microsecond end
            <= decided_at, 'audit before decision')
    ], lambda why: why is not null) as reasons
from parsed_rows;

create macro suggest_correction(why) as case
    when why in ('footer total', 'repeated header') then 'remove it; it is not an audit'
    when why = 'line the CSV reader rejects' then
        'fit it to the columns of the header; quote text that contains quotes or delimiters'
    when why = 'missing weight' then 'add the weight, or the decisions of its stratum in the population'
    when why like 'missing %' then 'fill it from the source system'
    when why like 'id destroyed %' then 'take the id from the source system; export ids as text'
    when why like 'unparseable date %' then 'write it as 2026-03-09 14:30; or correct date_order, or add date_format '
        || '(such as "%d.%m.%Y %H:%M") and, in another language, months in the mapping'
    when why like 'number out of range %' then 'correct it in the source system'
    when why like 'date before %' then 'correct it in the source system'
    when why like 'future date %' then 'correct it, or the time zone in the mapping'
    when why = 'audit before decision' then 'check both times, and whether they are in one time zone'
    when why like 'label not in the map %' then 'correct it, or add it under labels in the mapping'
    when why like 'value not known %' then 'correct it, or translate it under values in the mapping'
    when why like 'not a number %' then 'correct it, or the decimal mark in the mapping'
    when why = 'audit_round below 1' then 'count audits of a decision from 1, or translate them under values in the mapping'
    when why like 'negative %' then 'correct it in the source system'
    when why = 'probability above 1 (weight)' then 'correct it, or write percent: percent or weight_is: weight in the mapping'
    when why = 'weight not above 0' then 'write 1 / sampling probability'
    when why = 'same audit_id with different content' then 'keep the correct row, or give each row its own id'
    end;
