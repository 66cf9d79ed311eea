// What the pages offer and the API's description does not have.
return Promise.all([import("/offers.js"), fetch("/api/openapi.json").then((reply) => reply.json())]).then(([{ KNOWN }, { paths }]) => {
  const served = Object.entries(paths).flatMap(([path, item]) =>
    Object.keys(item).map((method) => `${method.toUpperCase()} ${path.replace("/api/v1", "").replace(/\{[^}]*\}/g, "{}")}`),
  );
  return [...KNOWN].filter((each) => !served.includes(each));
});
