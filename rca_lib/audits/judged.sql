-- What each row says, what was repaired in it, and why it cannot be kept. Of every column of audits the view `texts` has
-- its text t_<name>, null where the source has none; the table `judged` has its value <name>.
create macro unread(v, value) as v is not null and value is null;
-- A short row is padded; where a required cell is among those that it lacks, it is no row of the table.
create macro is_rejected(what, lacks) as what is not null and what <> 'the header line again'
    and (not starts_with(what, 'kept: ') or lacks and starts_with(what, 'kept: short'));
create macro reason(test, name) as case when test then name end;
create macro moment_of(v, site) as moment(v, day_first(), epoch(), zone(), zone_of(site));
-- A probability of being sampled becomes the weight 1 / probability; one that is none stays what it is.
create macro weight_of(w) as case when is_probability() and w > 0 and w <= 1 then 1 / w else w end;

create view typed as select
    *,
    columns('^t_(audit_id|item_id|site|rater|vendor|queue|stratum|market|language|policy|auditor|policy_version_decided'
        || '|policy_version_audited|action|true_action|content_type|team|hiring_class|cause_code|cause_coder|cause2_code'
        || '|cause2_coder|comment)$') as '\1',
    moment_of(t_decided_at, t_site) as decided_at,
    moment_of(t_audited_at, t_site) as audited_at,
    known(t_workflow, 'workflow') as workflow,
    known(t_stream, 'stream') as stream,
    known(t_severity, 'severity') as severity,
    known(t_dispute, 'dispute') as dispute,
    known(t_appeal, 'appeal') as appeal,
    weight_of(number(t_weight, mark(), is_probability() and per_cent())) as weight,
    number(t_model_score, mark(), per_cent()) as model_score,
    whole(t_audit_round, mark()) as audit_round,
    whole(t_tenure_days, mark()) as tenure_days,
    duration(t_handle_seconds, mark()) as handle_seconds,
    flag(t_blind) as blind,
    timezone(zone_of(t_site), timezone('UTC', moment_of(t_decided_at, t_site))) as local_time
from texts;

create table judged as select
    columns(lambda name: not regexp_matches(name, '^(t_.*|pointed_id|first_text|local_time|marks)$')),
    first_text is null as is_empty,
    local_time::date as day,
    (label <> truth)::tinyint as error,
    case when tenure_days <= 30 then '0-30 days' when tenure_days <= 90 then '31-90 days'
        when tenure_days <= 365 then '91-365 days' when tenure_days > 365 then 'over 365 days' end as tenure,
    case when not has_shifts() then t_shift
        when not is_day_only(t_decided_at) then part_of_day(hour(local_time)) end as shift,
    coalesce(
        nearest(t_label, label, 'label'), nearest(t_truth, truth, 'label'), nearest(t_model_label, model_label, 'label'),
        nearest(t_workflow, workflow, 'workflow'), nearest(t_stream, stream, 'stream'),
        nearest(t_severity, severity, 'severity'), nearest(t_dispute, dispute, 'dispute'),
        nearest(t_appeal, appeal, 'appeal')) as near,
    case when unread(t_decided_at, decided_at) then t_raw_decided_at when unread(t_audited_at, audited_at) then t_raw_audited_at
        when unread(t_weight, weight) then t_raw_weight when unread(t_model_score, model_score) then t_raw_model_score
        when unread(t_audit_round, audit_round) then t_raw_audit_round when unread(t_tenure_days, tenure_days) then t_raw_tenure_days
        when unread(t_handle_seconds, handle_seconds) then t_raw_handle_seconds end as unread_text,
    list_concat(marks, list_filter([
        reason(starts_with(rejected, 'kept: '), regexp_extract(rejected, '^kept: ([^;]*)', 1)),
        reason(pointed_id, 'ids with .0'),
        reason(is_serial(t_decided_at) or is_serial(t_audited_at), 'serial dates, day 0 is ' || epoch()::date),
        reason(is_epoch(t_raw_decided_at) or is_epoch(t_raw_audited_at), 'Unix timestamps, counted from 1970 in UTC'),
        reason(names_zone(t_raw_decided_at) or names_zone(t_raw_audited_at), 'names of time zones such as PST, by their usual offset'),
        reason(is_day_only(t_decided_at) or is_day_only(t_audited_at), 'days without a time, read as midnight at the site'),
        reason(order_is_proven() and (is_two_numbers(t_decided_at) or is_two_numbers(t_audited_at)),
            'order of day and month, by what other dates prove'),
        reason(contains(t_handle_seconds, ':'), 'mm:ss durations'),
        reason(regexp_matches(t_handle_seconds, '[a-zA-Z]'), 'durations with units'),
        reason(t_raw_weight <> t_weight or t_raw_model_score <> t_model_score or t_raw_handle_seconds <> t_handle_seconds
            or t_raw_tenure_days <> t_tenure_days, 'blanks or apostrophes in numbers'),
        reason(contains(t_model_score, '%') or contains(t_weight, '%'), 'per cent signs'),
        reason(mark() = ',' and (contains(t_weight, ',') or contains(t_model_score, ',') or contains(t_handle_seconds, ',')),
            'decimal commas'),
        reason(t_site is not null and not has_zone(t_site), 'sites not in site_time_zones, read in the file''s zone')
    ], lambda what: what is not null)) as repairs,
    list_filter([
        reason(is_footer(first_text) and (t_audit_id is null)::int + (t_item_id is null)::int + (t_site is null)::int
            + (t_rater is null)::int + (t_decided_at is null)::int + (t_label is null)::int + (t_truth is null)::int >= 2,
            'footer total'),
        reason(rejected = 'the header line again', 'repeated header'),
        reason(is_rejected(rejected, t_audit_id is null or t_item_id is null or t_site is null or t_rater is null
            or t_decided_at is null or t_label is null or t_truth is null), 'line the CSV reader rejects'),
        reason(t_audit_id is null, 'missing audit_id'),
        reason(t_item_id is null, 'missing item_id'),
        reason(t_site is null, 'missing site'),
        reason(t_rater is null, 'missing rater'),
        reason(t_decided_at is null, 'missing decided_at'),
        reason(t_label is null, 'missing label'),
        reason(t_truth is null, 'missing truth'),
        reason(is_destroyed(t_audit_id), 'id destroyed by a spreadsheet (audit_id)'),
        reason(is_destroyed(t_item_id), 'id destroyed by a spreadsheet (item_id)'),
        reason(is_destroyed(t_rater), 'id destroyed by a spreadsheet (rater)'),
        reason(is_destroyed(t_auditor), 'id destroyed by a spreadsheet (auditor)'),
        reason(unread(t_decided_at, decided_at), 'unparseable date (decided_at)'),
        reason(decided_at < timestamp '1990-01-01', 'date before 1990 (decided_at)'),
        reason(decided_at > latest(), 'future date (decided_at)'),
        reason(unread(t_audited_at, audited_at), 'unparseable date (audited_at)'),
        reason(audited_at < timestamp '1990-01-01', 'date before 1990 (audited_at)'),
        reason(audited_at > latest(), 'future date (audited_at)'),
        reason(unread(t_label, label), 'label not in the map (label)'),
        reason(unread(t_truth, truth), 'label not in the map (truth)'),
        reason(unread(t_model_label, model_label), 'label not in the map (model_label)'),
        reason(unread(t_workflow, workflow), 'value not known (workflow)'),
        reason(unread(t_stream, stream), 'value not known (stream)'),
        reason(unread(t_severity, severity), 'value not known (severity)'),
        reason(unread(t_dispute, dispute), 'value not known (dispute)'),
        reason(unread(t_appeal, appeal), 'value not known (appeal)'),
        reason(unread(t_blind, blind), 'value not known (blind)'),
        reason(unread(t_weight, weight), 'not a number (weight)'),
        reason(unread(t_model_score, model_score), 'not a number (model_score)'),
        reason(unread(t_audit_round, audit_round), 'not a number (audit_round)'),
        reason(audit_round < 1, 'audit_round below 1'),
        reason(unread(t_tenure_days, tenure_days), 'not a number (tenure_days)'),
        reason(unread(t_handle_seconds, handle_seconds), 'not a number (handle_seconds)'),
        reason(tenure_days < 0, 'negative tenure_days'),
        reason(handle_seconds < 0, 'negative handle_seconds'),
        reason(weight <= 0, 'weight not above 0'),
        reason(is_probability() and number(t_weight, mark(), per_cent()) > 1, 'probability above 1 (weight)'),
        reason(weight > 1e12 or weight > 0 and weight < 1e-12, 'number out of range (weight)'),
        reason(abs(handle_seconds) > 1e9, 'number out of range (handle_seconds)'),
        reason(abs(tenure_days) > 1e6, 'number out of range (tenure_days)'),
        reason(audit_round < 0 or audit_round > 1e6, 'number out of range (audit_round)'),
        reason(abs(model_score) > 1e12, 'number out of range (model_score)'),
        reason(audited_at + case when is_day_only(t_audited_at) then interval 1 day else interval 1 microsecond end
            <= decided_at, 'audit before decision')
    ], lambda why: why is not null) as reasons
from typed;

create macro mend_of(why) as case
    when why in ('footer total', 'repeated header') then 'remove it, it is no audit'
    when why = 'line the CSV reader rejects' then
        'bring it to the columns of the header; quote text that holds quotes or delimiters'
    when why = 'missing weight' then 'give the weight, or the decisions of its stratum in the population'
    when why like 'missing %' then 'fill it from the source system'
    when why like 'id destroyed %' then 'take the id from the source system; export ids as text'
    when why like 'unparseable date %' then 'write it as 2026-03-09 14:30; or correct date_order, or give date_format '
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
    when why = 'weight not above 0' then 'give 1 / probability of being sampled'
    when why = 'same audit_id with different content' then 'keep the true one, or give each an id of its own'
    end;
