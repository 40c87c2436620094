// The charts' data, which the file holds as columns that charts share: rows are made of them when
// somebody wants them.
{
  cnnjax.column = (column) => Array.isArray(column) ? column : column.at.map((i) => column.of[i]);

  const rows = (data, number) => {
    data.rows ??= [];
    if (!data.rows[number]) {
      const fields = Object.entries(data.sets[number]).map(([name, i]) =>
        [name, cnnjax.column(data.columns[i])]);
      data.rows[number] = fields[0][1].map((_, at) =>
        Object.fromEntries(fields.map(([name, values]) => [name, values[at]])));
    }
    return data.rows[number];
  };

  // A specification with its data in place of references to them.
  cnnjax.unpack = (part) => Array.isArray(part) ? part.map(cnnjax.unpack)
    : !part || typeof part !== "object" ? part
    : part.packed !== undefined ? {values: rows(cnnjax.data, part.packed)}
    : Object.fromEntries(Object.entries(part).map(([name, v]) =>
      [name, name === "values" ? v : cnnjax.unpack(v)]));

  cnnjax.parts.push(({explorer}) => {
    for (const column of explorer.columns) column.values = cnnjax.column(column.values);
  });
}
