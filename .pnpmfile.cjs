// Read by pnpm when it resolves versions. node-llama-cpp's Linux packages for arm64 and armv7l declare that they also
// run on x64, where they are never used; saying the truth here keeps the lock file, and so every install, to the
// engine of the host's own platform.
const OWN_PLATFORM_ONLY = { '@node-llama-cpp/linux-arm64': ['arm64'], '@node-llama-cpp/linux-armv7l': ['arm'] };

module.exports = {
  hooks: {
    readPackage(pkg) {
      const cpu = OWN_PLATFORM_ONLY[pkg.name];
      if (cpu !== undefined) pkg.cpu = cpu;
      return pkg;
    },
  },
};
