//! Rounds: what was heard is written down, and who fell silent is found.

use core::future::{Future, poll_fn};
use core::sync::atomic::Ordering;

use thingport_model::activity::WatchedDevice;
use thingport_model::port::entities::Write;
use thingport_model::port::ledger::committed;

use super::{
    ACTIVE, Activity, AppendError, DeviceActivity, DeviceId, INACTIVITY_ALARM_TIME, Known,
    LAST_ACTIVITY_TIME, Mailbox, Now, PortError, ROUND_MS, Receipt, Stage, Standing, Timestamp,
    ValueRef,
};

/// A device that was heard and is not known to be active.
#[derive(Clone, Copy, Debug)]
struct Woken {
    device: DeviceId,
    at: Timestamp,
}

/// Rounds.
impl Activity {
    /// Writes down what was heard since the last round and finds devices that fell silent. To be called
    /// every [`ROUND_MS`]. `pause` is awaited every so often, so that others run; it may take its time.
    pub async fn round<P, F>(&self, pause: P)
    where
        P: Fn() -> F + Send + Sync,
        F: Future<Output = ()> + Send,
    {
        let number = self.rounds.fetch_add(1, Ordering::Relaxed);
        let owed = core::mem::take(&mut *self.owed.lock());
        owed.into_iter().for_each(|owed| self.pay(owed));
        self.settle_rest().await;
        // In this order, so that whoever becomes active is seen to be, for a round at least.
        self.find_silent(&pause).await;
        self.listen(Some(number), &pause).await;
        let is_time = number % RECALL_ROUNDS == RECALL_ROUNDS - 1;
        if is_time && self.turned_away.swap(false, Ordering::Relaxed) {
            self.recall(pause).await;
        }
    }

    /// Waits until a device was heard that is not active. To be followed by [`Self::welcome`].
    pub async fn newcomers(&self) {
        self.newcomers.notified().await;
    }

    /// Devices that came and are not active become active, without waiting for the next round.
    pub async fn welcome<P, F>(&self, pause: P)
    where
        P: Fn() -> F + Send + Sync,
        F: Future<Output = ()> + Send,
    {
        let mut woken = Vec::new();
        self.hear_others(|_| false, &mut woken, &pause).await;
        self.wake(&mut woken).await;
    }

    /// Writes down everything that was heard. To be called before the ledger is closed.
    pub async fn finish(&self) {
        self.listen(None, &|| core::future::ready(())).await;
    }

    /// Finds the devices that were active or new when the process ended, so that they become inactive in
    /// time even if they never come back. To be called once after the start, beside everything else.
    pub async fn recall<P, F>(&self, pause: P)
    where
        P: Fn() -> F + Send + Sync,
        F: Future<Output = ()> + Send,
    {
        let mut after = None;
        loop {
            let page = match self.entities.watched_devices(after, SLICE).await {
                Ok(page) => page,
                Err(error) => return trouble("finding the devices that were active", &error),
            };
            if let Err(error) = self.recollect(&page).await {
                return trouble("finding the devices that were active", &error);
            }
            after = page.last().map(|it| it.id);
            if page.len() < SLICE as usize {
                return;
            }
            pause().await;
        }
    }

    /// Looks at a device again, because somebody changed its timeout or its attribute `active`: a changed
    /// timeout takes effect at once, in both directions (AC-002, T-6).
    ///
    /// # Errors
    /// The store's trouble.
    pub(crate) async fn changed(&self, device: DeviceId) -> Result<(), PortError> {
        let _turn = self.turn.lock().await;
        let known = Known::of(&*self.ledger, device).await?;
        let now = self.now();
        let standing = self.table.of(device).standing(device);
        match standing.map(|standing| (standing, standing.stage())) {
            // It will be looked up.
            Some((_, Stage::Unknown)) => Ok(()),
            Some((_, Stage::Active)) if known.active == Some(false) => {
                self.drop_standing(device);
                self.settle(vec![device]).await;
                Ok(())
            }
            None | Some((_, Stage::New)) if known.active == Some(true) => {
                self.follow(device, known, now).await
            }
            Some((standing, _)) => {
                let changed = standing.with_timeout(known.timeout);
                self.remember(self.table.of(device).put(device, changed));
                if changed.is_due(self.second(now), self.default_s()) {
                    self.silence(vec![device]).await;
                }
                Ok(())
            }
            None => self.reconsider(device, known, now).await,
        }
    }

    /// Somebody wrote that a device is active: it is, until its time is over.
    async fn follow(&self, device: DeviceId, known: Known, now: Now) -> Result<(), PortError> {
        self.entities.write(vec![Write::DeviceActivity(device, DeviceActivity::Active)]).await?;
        let heard = self.second_of(now, known.heard_at.unwrap_or(now.at));
        let active = Standing::new(Stage::Active, heard, known.timeout);
        let room = self.table.of(device).put(device, active);
        self.remember(room);
        if room.is_ok() {
            self.metrics.devices_active.add(1);
        }
        Ok(())
    }

    /// Whether an inactive device is active by its new timeout.
    async fn reconsider(&self, device: DeviceId, known: Known, now: Now) -> Result<(), PortError> {
        let Some(at) = known.heard_at else { return Ok(()) };
        let heard = self.second_of(now, at);
        let standing = Standing::new(Stage::Active, heard, known.timeout);
        if standing.is_due(self.second(now), self.default_s()) {
            return Ok(());
        }
        let unknown = Standing::new(Stage::Unknown, heard, known.timeout);
        let room = self.table.of(device).put(device, unknown);
        self.remember(room);
        if room.is_err() {
            return Ok(());
        }
        // Whoever changed the timeout finds what follows from it.
        if let Some(receipt) = self.activate(&[Woken { device, at }]).await? {
            let _ = committed(&*self.ledger, receipt).await;
        }
        Ok(())
    }
}

/// What was heard.
impl Activity {
    /// With no number everybody's activity is written down, otherwise that of whose turn it is.
    async fn listen<P, F>(&self, number: Option<u32>, pause: &P)
    where
        P: Fn() -> F + Send + Sync,
        F: Future<Output = ()> + Send,
    {
        let mut woken = Vec::new();
        {
            let everybody = self.presence.everybody();
            let mut left = SLICE;
            for (device, mailbox) in everybody.iter() {
                while self.take_note(*device, mailbox, number, &mut woken) == Err(AppendError::Busy)
                {
                    poll_fn(|cx| self.ledger.poll_ready(cx)).await;
                }
                left -= 1;
                if left == 0 {
                    left = SLICE;
                    self.wake(&mut woken).await;
                    pause().await;
                }
            }
        }
        self.hear_others(|device| self.is_due(device, number), &mut woken, pause).await;
        self.wake(&mut woken).await;
    }

    /// Devices that were heard and whose connections do not remember it: those whose turn it is, and
    /// those that are not active.
    async fn hear_others<P, F>(
        &self,
        is_due: impl Fn(DeviceId) -> bool + Send + Sync,
        woken: &mut Vec<Woken>,
        pause: &P,
    ) where
        P: Fn() -> F + Send + Sync,
        F: Future<Output = ()> + Send,
    {
        let others: Vec<_> =
            self.table.shards().flat_map(|mut shard| shard.take_heard(&is_due)).collect();
        for (at_once, (device, at)) in others.into_iter().enumerate() {
            while self.write_down(device, at, false, woken) == Err(AppendError::Busy) {
                poll_fn(|cx| self.ledger.poll_ready(cx)).await;
            }
            if at_once % SLICE as usize == SLICE as usize - 1 {
                self.wake(woken).await;
                pause().await;
            }
        }
    }

    /// Takes the moment a connection was heard.
    fn take_note(
        &self,
        device: DeviceId,
        mailbox: &Mailbox,
        number: Option<u32>,
        woken: &mut Vec<Woken>,
    ) -> Result<(), AppendError> {
        if !self.is_due(device, number) && self.table.of(device).is_active(device) {
            return Ok(());
        }
        let now = self.now();
        let Some(age_ms) = mailbox.take_heard(now.ms) else { return Ok(()) };
        self.write_down(device, now.before(age_ms), true, woken)
            .inspect_err(|_| mailbox.give_back_heard(now.ms.saturating_sub(age_ms)))
    }

    fn write_down(
        &self,
        device: DeviceId,
        at: Timestamp,
        is_connected: bool,
        woken: &mut Vec<Woken>,
    ) -> Result<(), AppendError> {
        let now = self.now();
        let mut shard = self.table.of(device);
        // It may have been heard in two ways.
        let at = shard.heard(device).map_or(at, |other| at.max(other));
        let heard = self.second_of(now, at);
        match shard.standing(device) {
            Some(standing) if standing.stage() == Stage::Active => {
                self.append(device, &[(LAST_ACTIVITY_TIME, ValueRef::Long(at.ms()))], now.at)?;
                // There is room: it is known.
                let _ = shard.put(device, standing.heard_at(heard));
                shard.forget_heard(device);
            }
            // It was deleted since this look at the connections began.
            None if is_connected && !self.presence.is_connected(device) => {}
            standing => {
                let timeout = standing.map(Standing::timeout).unwrap_or_default();
                let unknown = Standing::new(Stage::Unknown, heard, timeout);
                let room = shard.put(device, unknown);
                shard.forget_heard(device);
                drop(shard);
                self.remember(room);
                woken.extend(room.is_ok().then_some(Woken { device, at }));
            }
        }
        Ok(())
    }

    /// Whether the last activity of a device is written down in this round, if there is any: where rounds
    /// are more frequent than reports, each round takes a part of the devices.
    fn is_due(&self, device: DeviceId, number: Option<u32>) -> bool {
        let Some(number) = number else { return true };
        let parts = self.config.report_interval_ms.div_ceil(ROUND_MS).max(1);
        let part = (device.0.as_u128() >> PART_SHIFT) % u128::from(parts);
        part == u128::from(number) % u128::from(parts)
    }

    /// Devices that were heard become active.
    async fn wake(&self, woken: &mut Vec<Woken>) {
        for some in woken.chunks(SLICE as usize) {
            let _turn = self.turn.lock().await;
            // They stay unknown, so the next round tries again.
            if let Err(error) = self.activate(some).await {
                return trouble("noting devices as active", &error);
            }
        }
        woken.clear();
    }

    /// To be called in turn. The receipt is that of the last one.
    async fn activate(&self, woken: &[Woken]) -> Result<Option<Receipt>, PortError> {
        let mut known = Vec::with_capacity(woken.len());
        for it in woken {
            let found = Known::of(&*self.ledger, it.device).await?;
            // Nothing is kept of a device that was deleted a moment ago.
            let is_new = found.active.is_none();
            if is_new && self.entities.device_activity(it.device).await?.is_none() {
                self.drop_standing(it.device);
            }
            known.push(found);
        }
        let pairs = || woken.iter().zip(&known);
        let writes: Vec<_> = pairs()
            .filter(|(_, known)| known.active != Some(true))
            .map(|(it, _)| Write::DeviceActivity(it.device, DeviceActivity::Active))
            .collect();
        if !writes.is_empty() {
            self.entities.write(writes).await?;
        }
        let mut last = None;
        for (it, known) in pairs() {
            let mut written = self.write_active(*it, *known);
            while written == Err(AppendError::Busy) {
                poll_fn(|cx| self.ledger.poll_ready(cx)).await;
                written = self.write_active(*it, *known);
            }
            last = written.ok().flatten().or(last);
        }
        Ok(last)
    }

    fn write_active(&self, woken: Woken, known: Known) -> Result<Option<Receipt>, AppendError> {
        let Woken { device, at } = woken;
        let mut shard = self.table.of(device);
        // It was deleted meanwhile.
        let Some(standing) = shard.standing(device) else { return Ok(None) };
        let mut pairs = vec![(LAST_ACTIVITY_TIME, ValueRef::Long(at.ms()))];
        if known.active != Some(true) {
            pairs.push((ACTIVE, ValueRef::Bool(true)));
        }
        // AC-008: what was heard before the alarm came late, and the next silence is told again.
        if known.alarm_at.is_some_and(|alarm_at| at <= alarm_at) {
            pairs.push((INACTIVITY_ALARM_TIME, ValueRef::Long(0)));
        }
        let receipt = self.append(device, &pairs, self.clock.now())?;
        let active = Standing::new(Stage::Active, standing.heard(), known.timeout);
        let _ = shard.put(device, active);
        if standing.stage() != Stage::Active {
            self.metrics.devices_active.add(1);
        }
        Ok(Some(receipt))
    }
}

/// Who fell silent.
impl Activity {
    async fn find_silent<P, F>(&self, pause: &P)
    where
        P: Fn() -> F + Send + Sync,
        F: Future<Output = ()> + Send,
    {
        let mut looked_at = 0;
        for at in 0..self.table.parts() {
            let now = self.now();
            let (silent, unknown) = {
                let part = self.table.part(at);
                looked_at += part.len();
                part.due(self.second(now), self.default_s())
            };
            let is_much = looked_at >= LOOKED_AT_MAX || !silent.is_empty();
            let mut woken = Vec::new();
            for (device, heard) in unknown {
                let age_s = i64::from(self.second(now).0) - i64::from(heard.0);
                let at = now.at.plus_ms(-age_s * 1_000);
                woken.push(Woken { device, at });
            }
            self.wake(&mut woken).await;
            for some in silent.chunks(SLICE as usize) {
                let _turn = self.turn.lock().await;
                self.silence(some.to_vec()).await;
            }
            if is_much {
                looked_at = 0;
                pause().await;
            }
        }
    }

    /// Devices whose time is over become inactive, unless they were heard meanwhile. To be called in turn.
    async fn silence(&self, due: Vec<DeviceId>) {
        let (mut silent, mut last) = (Vec::new(), None);
        for device in due {
            let mut written = self.write_silence(device);
            while written == Err(AppendError::Busy) {
                poll_fn(|cx| self.ledger.poll_ready(cx)).await;
                written = self.write_silence(device);
            }
            if let Ok(Some(receipt)) = written {
                silent.push(device);
                last = Some(receipt);
            }
        }
        // Not before the attribute is kept: a start must find whoever is still said to be active.
        if let Some(receipt) = last
            && committed(&*self.ledger, receipt).await.is_ok()
        {
            self.settle(silent).await;
        }
    }

    fn write_silence(&self, device: DeviceId) -> Result<Option<Receipt>, AppendError> {
        let now = self.now();
        let mut shard = self.table.of(device);
        let Some(standing) = shard.standing(device) else { return Ok(None) };
        let heard = self.presence.heard(device, now.ms).map(|age_ms| now.before(age_ms));
        let heard = heard.max(shard.heard(device));
        let newest = heard.map_or(standing, |at| standing.heard_at(self.second_of(now, at)));
        if standing.stage() == Stage::Unknown || !newest.is_due(self.second(now), self.default_s())
        {
            return Ok(None);
        }
        let was_active = standing.stage() == Stage::Active;
        let mut pairs = vec![(INACTIVITY_ALARM_TIME, ValueRef::Long(now.at.ms()))];
        if was_active {
            pairs.push((ACTIVE, ValueRef::Bool(false)));
        }
        // Its last word was not written down yet, and must not wake it later.
        if let Some(at) = heard {
            pairs.push((LAST_ACTIVITY_TIME, ValueRef::Long(at.ms())));
        }
        let receipt = self.append(device, &pairs, now.at)?;
        self.presence.forget_heard(device, now.ms);
        shard.forget_heard(device);
        shard.remove(device);
        if was_active {
            self.metrics.devices_active.sub(1);
        }
        Ok(Some(receipt))
    }

    /// Notes devices as inactive. To be called in turn.
    async fn settle(&self, devices: Vec<DeviceId>) {
        let inactive = |device: &DeviceId| Write::DeviceActivity(*device, DeviceActivity::Inactive);
        if let Err(error) = self.entities.write(devices.iter().map(inactive).collect()).await {
            trouble("noting devices as inactive", &error);
            self.unsettled.lock().extend(devices);
        }
    }

    async fn settle_rest(&self) {
        if self.unsettled.lock().is_empty() {
            return;
        }
        let _turn = self.turn.lock().await;
        let mut rest = core::mem::take(&mut *self.unsettled.lock());
        // Those that came back meanwhile are active.
        rest.retain(|device| self.table.of(*device).standing(*device).is_none());
        self.settle(rest).await;
    }

    fn drop_standing(&self, device: DeviceId) {
        if self.table.of(device).remove(device).is_some_and(|it| it.stage() == Stage::Active) {
            self.metrics.devices_active.sub(1);
        }
    }
}

/// Who was active before.
impl Activity {
    async fn recollect(&self, page: &[WatchedDevice]) -> Result<(), PortError> {
        let _turn = self.turn.lock().await;
        let mut silent = Vec::new();
        for watched in page {
            let known = Known::of(&*self.ledger, watched.id).await?;
            if !self.take_up(*watched, known) {
                silent.push(watched.id);
            }
        }
        if !silent.is_empty() {
            self.settle(silent).await;
        }
        Ok(())
    }

    /// False for a device that is not active after all: a crash came between.
    fn take_up(&self, watched: WatchedDevice, known: Known) -> bool {
        let (now, device) = (self.now(), watched.id);
        let mut shard = self.table.of(device);
        if shard.standing(device).is_some() {
            return true;
        }
        let is_active = watched.activity == DeviceActivity::Active;
        if is_active && known.active != Some(true) {
            return false;
        }
        if known.active.is_none() {
            let _ = self.append(device, &[(ACTIVE, ValueRef::Bool(false))], now.at);
        }
        let since = known.heard_at.filter(|_| is_active).unwrap_or(watched.created_at);
        let stage = if is_active { Stage::Active } else { Stage::New };
        let heard = self.second_of(now, since);
        let room = shard.put(device, Standing::new(stage, heard, known.timeout));
        drop(shard);
        self.remember(room);
        if is_active && room.is_ok() {
            self.metrics.devices_active.add(1);
        }
        true
    }
}

fn trouble(what: &str, error: &PortError) {
    tracing::warn!(%error, "{what} failed and is tried again");
}

/// Devices looked at in one go.
const SLICE: u32 = 256;
/// Devices whose time is looked at in one go.
const LOOKED_AT_MAX: usize = 8_192;
/// Bits of an id that choose its part of the rounds lie above those that choose its shard.
const PART_SHIFT: u32 = 8;
/// Rounds between two looks for devices that found no room.
const RECALL_ROUNDS: u32 = 200;
