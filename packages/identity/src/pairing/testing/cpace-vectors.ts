// The official test vectors of draft-irtf-cfrg-cpace-21, appendix B (CPACE-X25519-SHA512): set A from its text, set B
// from its JSON file. Hex, as printed there, so that an implementation in another language can take them from here.

export interface CpaceVector {
  readonly name: string;
  readonly PRS: string;
  readonly CI: string;
  readonly sid: string;
  /** The generator. */
  readonly g: string;
  readonly ya: string;
  readonly ADa: string;
  readonly Ya: string;
  readonly yb: string;
  readonly ADb: string;
  readonly Yb: string;
  readonly K: string;
  readonly iskInitiatorResponder: string;
}

export const cpaceVectors: readonly CpaceVector[] = [
  {
    name: 'A',
    PRS: '50617373776f7264',
    CI: '6f630b425f726573706f6e6465720b415f696e69746961746f72',
    sid: '7e4b4791d6a8ef019b936c79fb7f2c57',
    g: '64e8099e3ea682cfdc5cb665c057ebb514d06bf23ebc9f743b51b82242327074',
    ya: '21b4f4bd9e64ed355c3eb676a28ebedaf6d8f17bdc365995b319097153044080',
    ADa: '414461',
    Ya: '1b02dad6dbd29a07b6d28c9e04cb2f184f0734350e32bb7e62ff9dbcfdb63d15',
    yb: '848b0779ff415f0af4ea14df9dd1d3c29ac41d836c7808896c4eba19c51ac40a',
    ADb: '414462',
    Yb: '20cda5955f82c4931545bcbf40758ce1010d7db4db2a907013d79c7a8fcf957f',
    K: 'f97fdfcfff1c983ed6283856a401de3191ca919902b323c5f950c9703df7297a',
    iskInitiatorResponder:
      'a051ee5ee2499d16da3f69f430218b8ea94a18a45b67f9e86495b382c33d14a5c38cecc0cc834f960e39e0d1bf7d76b9ef5d54eecc5e0f386c97ad12da8c3d5f',
  },
  {
    name: 'B',
    PRS: '50617373776f7264',
    CI: '0b415f696e69746961746f720b425f726573706f6e646572',
    sid: '7e4b4791d6a8ef019b936c79fb7f2c57',
    g: 'd04bf6d41f6a289632a2e929fa29bebd51092512a7829fdde7d314b62f05a73f',
    ya: '21b4f4bd9e64ed355c3eb676a28ebedaf6d8f17bdc365995b319097153044080',
    ADa: '414461',
    Ya: '1d13c89278cdadd826f6d8d7f887701430f8380ddc17611cdd6dc989ce0c9f32',
    yb: '848b0779ff415f0af4ea14df9dd1d3c29ac41d836c7808896c4eba19c51ac40a',
    ADb: '414462',
    Yb: '248cccf6d5cdc3646f0ad593f9e6cef4e69d4945f8372e623512ecea32185623',
    K: '5b067effbdc0b2a0e1d907b21ebb25cfedb96a852179a847c37e43ee71322c6b',
    iskInitiatorResponder:
      '6e19b875f7a561d6b3ca3dbb9ef42ac55de3e717881018204b8922b4d5e53bb2aa82c300bea7b65d2b671da71922ddf6472301b79bc270adfa8bf413285f2263',
  },
];

/** G.scalar_mult_vfy with one scalar and twelve special points. Without a result, the run must abort. */
export const scalarMultVfyVectors: {
  readonly scalar: string;
  readonly points: readonly { readonly u: string; readonly result: string | null }[];
} = {
  scalar: 'af46e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449aff',
  points: [
    { u: '0000000000000000000000000000000000000000000000000000000000000000', result: null },
    { u: '0100000000000000000000000000000000000000000000000000000000000000', result: null },
    { u: 'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f', result: null },
    { u: 'e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800', result: null },
    { u: '5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157', result: null },
    { u: 'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f', result: null },
    {
      u: 'daffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff',
      result: 'd8e2c776bbacd510d09fd9278b7edcd25fc5ae9adfba3b6e040e8d3b71b21806',
    },
    { u: 'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f', result: null },
    {
      u: 'dbffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff',
      result: 'c85c655ebe8be44ba9c0ffde69f2fe10194458d137f09bbff725ce58803cdb38',
    },
    {
      u: 'd9ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff',
      result: 'db64dafa9b8fdd136914e61461935fe92aa372cb056314e1231bc4ec12417456',
    },
    {
      u: 'cdeb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b880',
      result: 'e062dcd5376d58297be2618c7498f55baa07d7e03184e8aada20bca28888bf7a',
    },
    {
      u: '4c9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f11d7',
      result: '993c6ad11c4c29da9a56f7691fd0ff8d732e49de6250b6c2e80003ff4629a175',
    },
  ],
};
