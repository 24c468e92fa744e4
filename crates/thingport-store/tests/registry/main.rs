//! The registry's rules, told as short stories on the engine in memory and on SQLite.

#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod activity;
mod admission;
mod children;
mod claims;
mod devices;
mod disputes;
mod end;
mod home;
mod house;
mod logins;
mod people;
mod profiles;
mod provisioning;

use home::Home;
use house::House;

/// Runs a story on each engine.
macro_rules! stories {
    ($($room:ident::$story:ident,)*) => {
        $(
            #[tokio::test]
            async fn $story() {
                $room::$story(House::in_memory().await).await;
                let dir = tempfile::tempdir().unwrap();
                $room::$story(House::on_disk(dir.path()).await).await;
            }
        )*
    };
}

stories! {
    admission::every_row_of_the_password_table_is_answered,
    admission::a_certificate_is_known_by_its_hash_alone,
    admission::a_certificate_out_of_its_period_is_refused_unless_told_otherwise,
    admission::below_a_profiles_ca_devices_come_to_be,
    admission::the_device_of_the_name_takes_the_new_certificate,
    admission::only_the_device_of_the_profile_takes_a_certificate,
    admission::what_is_not_sound_names_no_device,
    admission::a_profile_may_judge_as_thingsboard_does,
    admission::what_was_called_back_stays_outside,
    admission::the_ca_may_be_presented_or_not,
    admission::certificates_are_listed_by_the_end_of_their_period,
    disputes::a_ca_that_two_tenants_name_gives_neither_a_new_device,
    disputes::a_refusal_of_one_tenant_is_no_invitation_of_another,
    disputes::within_a_tenant_the_nearest_ca_decides,
    disputes::many_namesakes_of_others_hide_nobodys_ca,
    disputes::a_refusal_concerns_a_tenant_only_if_its_ca_signed,
    disputes::an_older_certificate_does_not_take_the_device_back,
    devices::a_new_device_has_a_random_token_unless_one_is_given,
    devices::a_token_in_use_leaves_no_device,
    devices::names_are_unique_or_made_so,
    devices::the_profile_is_chosen_by_id_name_or_default,
    devices::missing_parts_of_device_data_are_filled_in,
    devices::versions_guard_against_lost_changes,
    devices::the_limit_of_the_tenant_profile_holds,
    devices::another_tenants_device_is_not_there,
    devices::customer_users_save_for_their_own_customer,
    devices::devices_are_assigned_and_taken_back,
    devices::broken_texts_and_pages_are_refused,
    logins::absence_is_remembered_until_a_device_is_saved,
    logins::an_id_that_nobody_can_have_is_not_remembered,
    logins::a_login_follows_every_change,
    logins::credentials_change_only_by_the_rules,
    logins::what_another_hand_changed_is_forgotten_when_it_is_repeated,
    logins::basic_credentials_are_found_by_their_hash,
    logins::whoever_listens_hears_what_changed,
    people::the_first_run_may_run_again,
    people::a_production_house_begins_with_two_people,
    people::passwords_and_tokens_follow_the_person,
    people::a_key_is_gone_for_everybody_at_once,
    people::a_login_changes_in_one_step,
    people::roles_decide_who_creates_whom,
    people::the_last_administrator_stays,
    people::the_public_customer_is_the_servers_own,
    profiles::the_default_profile_and_profiles_in_use_stay,
    profiles::the_transport_of_a_used_profile_stays,
    profiles::infos_are_filtered_by_transport,
    profiles::a_provisioning_key_is_free_again_after_it_was_removed,
    provisioning::whoever_knows_key_and_secret_becomes_a_device,
    provisioning::without_key_and_secret_nothing_is_found,
    provisioning::a_key_counts_as_long_as_a_profile_has_it,
    provisioning::a_device_may_bring_its_own_credentials,
    provisioning::a_refused_request_leaves_nothing,
    provisioning::a_tenant_has_no_more_devices_than_it_may,
    provisioning::a_device_that_exists_is_handed_over_once,
    provisioning::of_two_at_once_one_succeeds,
    provisioning::what_comes_too_late_leaves_nothing,
}

/// Runs a story of a whole node on each engine.
macro_rules! home_stories {
    ($($room:ident::$story:ident with $config:path,)*) => {
        $(
            #[tokio::test]
            async fn $story() {
                $room::$story(Home::in_memory($config()).await).await;
                let dir = tempfile::tempdir().unwrap();
                $room::$story(Home::on_disk(dir.path(), $config()).await).await;
            }
        )*
    };
}

home_stories! {
    activity::a_device_that_says_nothing_raises_one_alarm with activity::config,
    activity::a_word_makes_active_and_silence_inactive with activity::config,
    activity::a_newcomer_need_not_wait_for_the_next_round with activity::config,
    activity::leaving_makes_nobody_inactive with activity::config,
    activity::connecting_and_leaving_are_noted_and_a_takeover_is_no_end with activity::config,
    activity::a_changed_timeout_takes_effect_at_once_in_both_directions with activity::config,
    activity::a_new_device_keeps_its_own_timeout with activity::config,
    activity::who_was_active_before_a_restart_becomes_inactive_in_time with activity::config,
    activity::a_crash_between_index_and_attribute_is_mended with activity::config,
    activity::what_the_ledger_refuses_is_not_lost with activity::config,
    activity::nothing_is_noted_of_a_device_that_was_deleted with activity::config,
    activity::a_device_is_heard_without_a_connection_of_its_own with activity::config,
    activity::what_people_write_counts_until_its_time_is_over with activity::config,
    activity::a_clock_that_is_set_makes_nobody_inactive with activity::config,
    activity::active_devices_are_filtered_sorted_and_counted_by_the_store with activity::config,
    activity::reports_are_as_rare_as_was_asked_and_lose_nothing with activity::rare_reports,
    children::a_gateway_makes_its_devices_known with activity::config,
    children::a_bad_part_costs_no_other_child_anything with activity::config,
    children::a_tenant_has_no_more_children_than_it_may_have_devices with activity::config,
    children::of_two_gateways_that_name_the_same_child_one_makes_it with activity::config,
    children::a_full_ledger_stops_a_batch_and_nothing_is_doubled with activity::config,
    children::all_children_of_a_gateway_share_its_limit with activity::config,
    children::mail_for_a_child_rings_at_its_gateway with activity::config,
    children::a_child_and_its_own_connection_take_each_others_place with activity::config,
    children::children_are_active_by_their_own_word_or_their_gateways with activity::config,
    children::a_gateway_speaks_for_so_many_at_once_and_no_more with activity::config,
    children::what_children_ask_is_handed_on with activity::config,
    claims::a_claimed_device_is_the_customers_and_only_theirs with activity::config,
    claims::every_row_of_the_claim_table_is_answered with activity::config,
    claims::a_devices_newest_word_counts with activity::config,
    claims::names_and_roles_are_checked_before_anything_is_told with activity::config,
    claims::a_device_is_given_back_by_its_customer_or_the_tenant with activity::config,
    claims::people_may_write_what_a_device_would_say with activity::config,
    claims::of_two_who_claim_at_once_one_succeeds with activity::config,
    claims::claiming_may_need_the_operators_word with claims::strict,
}
