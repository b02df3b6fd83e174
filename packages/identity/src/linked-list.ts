// Members that come and go often, oldest first. A Map or Set of V8 replaces its table again and again while members change, and
// each replaced table refers to the next. Once one of them is old, small collections of garbage keep all that follow, with every
// member in them, and copy it all, until a full collection. A removed link here refers to nothing.

export class LinkedList<Member> implements Iterable<Member> {
  #first: Link<Member> | undefined;
  #last: Link<Member> | undefined;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** Adds a member at the end. @returns its place, to remove it. */
  add(member: Member): Link<Member> {
    const link = new Link(member);
    link.before = this.#last;
    if (this.#last) this.#last.after = link;
    else this.#first = link;
    this.#last = link;
    this.#size += 1;
    return link;
  }

  /** No effect without a link, or on one that was removed. The link must be of this list. */
  remove(link: Link<Member> | undefined): void {
    if (!link || link.isRemoved) return;
    link.isRemoved = true;
    const { before, after } = link;
    if (before) before.after = after;
    else this.#first = after;
    if (after) after.before = before;
    else this.#last = before;
    link.before = undefined;
    link.after = undefined;
    this.#size -= 1;
  }

  get first(): Member | undefined {
    return this.#first?.member;
  }

  /** The members of now. Those that are removed before their turn are left out. */
  *[Symbol.iterator](): Generator<Member> {
    const links: Link<Member>[] = [];
    for (let link = this.#first; link; link = link.after) links.push(link);
    for (const link of links) if (!link.isRemoved) yield link.member;
  }
}

/** For the list alone. */
export class Link<Member> {
  readonly member: Member;
  before: Link<Member> | undefined;
  after: Link<Member> | undefined;
  isRemoved = false;

  constructor(member: Member) {
    this.member = member;
  }
}
