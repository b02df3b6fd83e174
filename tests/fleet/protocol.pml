/*
 * The protocol of docs/fleet.md: how daemons that share a database order their changes, and learn of each other's changes
 * before they answer. protocol.test.ts has `spin` try every order of the steps.
 *
 * Daemon 0 revokes a device, and daemon 1 makes another change. The device calls one of them. Notifications may be lost. A
 * daemon may pause between any two of its steps, for any time.
 *
 * Settings:
 *   ASKED            the daemon that the device calls. The promises are about each daemon alone, so one run for each is enough.
 *   CALLS            number of calls, up to 3.
 *   GOES_BACK        the database goes back to an older copy, once.
 *   IDLE             checks that a connection without calls ends, instead of the promises about calls.
 *   ONLY_REVOCATION  without the other change.
 *
 * Variants, each of which breaks a promise:
 *   LEASE            a daemon trusts what it knows for a time, without a read. A revocation is acknowledged after that time.
 *                    With ONE_CLOCK, the clocks of the daemons agree, and nothing breaks.
 *   NO_MEMORY        a daemon does not remember the last row that it has seen.
 *   CHECK_ONCE       a daemon checks that row only when it opens a connection, and not with each read.
 *   JOIN_RUNNING     a call may share a read that began before the call arrived.
 *   NO_LOCK          the number of a change comes from a counter, and not from the locked row of the ledger.
 *   NO_POLL          nothing except notifications causes a read without a call.
 */

#define DAEMONS 2
#ifndef CALLS
#define CALLS 2
#endif
#ifndef ASKED
#define ASKED 1
#endif

/* ---- The database ---- */

/* The rows of the audit by number: who made each. It stands for the hash. 0: no such row. */
byte row[3];
/* The row of the ledger: the number of the last row, and the lock. */
byte last;
bool locked;
/* The number of the row that revoked the device. 0: it is in good standing. */
byte revokedIn;
/* How often the database went back. Connections to an earlier copy are broken. */
bit copy;

/* ---- What a daemon knows ---- */

typedef Daemon {
  /* Every event up to this number was applied. */
  byte applied;
  /* The last row that it has seen, by number and hash. */
  byte seen, seenRow;
  /* It remembers that the device is in good standing. */
  bool trusts;
  /* The copy of the database that each of its connections leads to. */
  bit indexLink, readLink;
  /* A notification or the poll asks for a read. */
  bool looks;
  /* The device has a connection without calls. */
  bool idle
}
Daemon daemon[DAEMONS];

mtype = { away, waits, reads, fresh, refused };
mtype call[CALLS];

/* ---- Promises ---- */

bool acknowledged;
/* The database went back to a copy without the revocation. */
bool lost;
/* This daemon has seen the row of the revocation. */
bool knows[DAEMONS];

#ifdef NO_MEMORY
#define has(number, maker) true
#else
#define has(number, maker) (number == 0 || row[number] == maker)
#endif
#ifdef CHECK_ONCE
#define stillHas(number, maker) (number <= last)
#else
#define stillHas(number, maker) has(number, maker)
#endif
#define hasSeenBy(d) has(daemon[d].seen, daemon[d].seenRow)

/* Opens a broken connection again. The database must have the row that the daemon remembers. */
inline connect(link, d, good) {
  atomic {
    good = (link == copy || hasSeenBy(d));
    if :: good -> link = copy :: else fi
  }
}

inline see(d, number, maker) {
  if
  :: number > daemon[d].seen ->
    daemon[d].seen = number;
    daemon[d].seenRow = maker;
    /* A row comes after all with lower numbers. */
    knows[d] = knows[d] || maker == 1 || (revokedIn != 0 && number >= revokedIn)
  :: else
  fi
}

#ifdef LEASE
/* Clocks of different daemons need not agree: that of a paused machine stands still. */
#define LEASE_TIME 1
#define LATEST 2
byte now[DAEMONS], leaseEnds[DAEMONS];

proctype Clocks() {
  do
#ifdef ONE_CLOCK
  :: now[0] < LATEST -> atomic { now[0]++; now[1]++ }
  :: else -> break
#else
  :: now[0] < LATEST -> now[0]++
  :: now[1] < LATEST -> now[1]++
  :: now[0] == LATEST && now[1] == LATEST -> break
#endif
  od
}
#endif

/* ---- A change: docs/fleet.md, "How a change is committed" ---- */

#ifdef NO_LOCK
byte counter;
#endif

/* Only the first daemon's change revokes the device. */
proctype Change(byte d) {
  byte number;
  bit began;

  /* On a new connection. */
  atomic { if :: hasSeenBy(d) -> began = copy :: else -> goto over fi };
#ifdef NO_LOCK
  d_step { counter++; number = counter };
#else
  atomic {
    if
    :: began != copy -> goto over
    :: began == copy && !locked ->
      number = last + 1;
      if :: hasSeenBy(d) -> locked = true :: else -> goto over fi
    fi
  };
#endif
  /* Row, event and ledger become visible together. A database that went back has forgotten the transaction. */
  atomic {
    if :: began != copy -> goto over :: else fi;
    row[number] = d + 1;
    if :: number > last -> last = number :: else fi;
    if :: d == 0 -> revokedIn = number :: else fi;
    locked = false;
#ifdef IDLE
    if :: daemon[1 - d].looks = true :: true /* the notification is lost */ fi
#endif
  };
  if
  :: true
  :: /* The answer is lost. The daemon looks for its row on a new connection. */
    atomic { if :: !hasSeenBy(d) || row[number] != d + 1 -> goto over :: else fi }
  fi;
  atomic {
    see(d, number, d + 1);
    daemon[d].trusts = false;
    if :: d == 0 -> daemon[d].idle = false :: else fi;
    if :: number == daemon[d].applied + 1 -> daemon[d].applied = number :: else fi
  };
#ifdef LEASE
  byte ends;
  ends = now[d] + LEASE_TIME;
endOfClock:
  now[d] > ends;
#endif
  if :: d == 0 -> acknowledged = true :: else fi;
over:
  atomic { number = 0; began = 0 }
}

/* ---- The shared read: "How a daemon learns of the changes of the others" ---- */

#define someoneWaits (call[0] == waits || call[1 % CALLS] == waits || call[CALLS - 1] == waits)

inline move(from, to) {
  d_step {
    c = 0;
    do
    :: c < CALLS ->
      if :: call[c] == from -> call[c] = to :: else fi;
      c++
    :: else -> break
    od;
    c = 0
  }
}

proctype Reader(byte d) {
  byte c, known, knownRow, head, headRow;
  bool good;

end:
  do
  :: atomic { someoneWaits || daemon[d].looks -> daemon[d].looks = false; move(waits, reads) };
    connect(daemon[d].indexLink, d, good);
    atomic { known = daemon[d].seen; knownRow = daemon[d].seenRow };
    /* The server reads the ledger, and the row that the daemon had seen before it asked. */
    atomic {
      good = good && daemon[d].indexLink == copy && stillHas(known, knownRow);
      head = last; headRow = row[last]; known = 0; knownRow = 0
    };
    if
    :: good && head > daemon[d].applied ->
      connect(daemon[d].readLink, d, good);
      atomic {
        good = good && daemon[d].readLink == copy;
        if
        :: good ->
          daemon[d].trusts = false;
          if :: revokedIn > daemon[d].applied && revokedIn <= head -> daemon[d].idle = false :: else fi;
          daemon[d].applied = head;
        :: else
        fi
      }
    :: else
    fi;
    atomic {
      if
      :: good ->
        if :: headRow != 0 -> see(d, head, headRow) :: else fi;
#ifdef LEASE
        leaseEnds[d] = now[d] + LEASE_TIME;
#endif
        move(reads, fresh)
      :: else -> move(reads, refused)
      fi;
      head = 0; headRow = 0; good = false
    }
  od
}

/* ---- A call of the device ---- */

proctype Call(byte c) {
  byte before;
  bool wasAcknowledged, wasKnown, good;
#define mine daemon[ASKED]

  /* It arrives. */
  atomic {
    wasAcknowledged = acknowledged;
    wasKnown = knows[ASKED];
#ifdef LEASE
    if :: now[ASKED] < leaseEnds[ASKED] -> goto standing :: else fi;
#endif
    call[c] = waits
#ifdef JOIN_RUNNING
    ;
    byte other;
    do
    :: other < CALLS ->
      if :: other != c && call[other] == reads -> call[c] = reads :: else fi;
      other++
    :: else -> break
    od
#endif
  };
  atomic { call[c] == fresh || call[c] == refused -> if :: call[c] == refused -> goto over :: else fi };
standing:
  if
  :: mine.trusts
  :: !mine.trusts ->
    before = mine.applied + 3 * mine.seen;
    connect(mine.readLink, ASKED, good);
    atomic {
      if :: !good || mine.readLink != copy || revokedIn != 0 -> goto over :: else fi
    };
    atomic { if :: mine.applied + 3 * mine.seen == before -> mine.trusts = true :: else fi }
  fi;
  /* It is accepted. */
  assert(!(wasAcknowledged && !lost));
  assert(!wasKnown);
over:
  atomic { call[c] = away; before = 0; wasAcknowledged = false; wasKnown = false; good = false }
}

/* ---- What else happens ---- */

/* A failover to a standby that lacks changes, or an older dump. */
proctype GoBack() {
  atomic {
    if
    :: last > 0 ->
      row[last] = 0;
      last--;
      if :: last > 0 -> row[last] = 0; last-- :: true fi;
      if :: revokedIn > last -> revokedIn = 0; lost = true :: else fi;
      locked = false;
      copy = 1 - copy
    :: true
    fi
  }
}

proctype Poll(byte d) {
end:
  do :: !daemon[d].looks -> daemon[d].looks = true od
}

init {
  byte d, c;
  atomic {
    for (d : 0 .. DAEMONS - 1) {
      daemon[d].idle = true;
#ifdef ONLY_REVOCATION
      if :: d == 0 -> run Change(d) :: else fi
#else
      run Change(d)
#endif
    }
    run Reader(ASKED);
#ifdef LEASE
    run Clocks();
#endif
#if defined(IDLE) && !defined(NO_POLL)
    run Poll(ASKED);
#endif
    for (c : 0 .. CALLS - 1) {
      call[c] = away;
#ifndef IDLE
      run Call(c)
#endif
    }
#ifdef GOES_BACK
    run GoBack()
#endif
  }
}

#ifdef IDLE
ltl idleEnds { [] (acknowledged -> <> !daemon[1].idle) }
#endif
